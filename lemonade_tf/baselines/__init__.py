"""What a search is compared with."""
