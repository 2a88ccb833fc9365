"""What the verbs share: the parser, the reading of configs, errors."""
