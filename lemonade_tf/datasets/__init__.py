"""Data sets: reading them from files, downloading them, splitting them."""
