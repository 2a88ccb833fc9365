"""Looking at data before and between trainings: the report of a dataset, shift, which images to annotate next."""
