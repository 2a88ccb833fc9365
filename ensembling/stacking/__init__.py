"""Second-level models: what they learn from, how they are fitted out of fold, which rows they see."""
