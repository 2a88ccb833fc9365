"""Looking at data before and between trainings: the report of a dataset, shift, which images to annotate next."""

from compat.former_names import accept_former_names

accept_former_names()
