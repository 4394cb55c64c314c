"""Files: sharing and fetching them, and their bytes."""
