"""Reading and writing: atomic files, confined paths, hashes, tables and images with errors that name the file."""
