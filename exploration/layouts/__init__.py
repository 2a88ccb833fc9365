"""What a folder of images and labels holds: the facts from which `python cli.py new` writes a config."""
