"""Facts about a dataset: duplicates, shift, statistics, and which images to annotate next."""

from compat.former_names import accept_former_names

accept_former_names()
