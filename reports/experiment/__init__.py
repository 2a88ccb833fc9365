"""What a trained experiment is worth and where it fails: the sections of the page that `report` writes."""
