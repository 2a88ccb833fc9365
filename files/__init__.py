"""Reading and writing: atomic files, confined paths, hashes, tables and pictures with errors that name the file."""
