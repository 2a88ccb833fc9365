"""Shared by all verbs: the parser, config reading and error messages."""
