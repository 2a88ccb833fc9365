"""Code that uses private parts of a library or parses its messages, one file per library."""
