"""Second-level models: their features, out-of-fold fitting, and rows."""
