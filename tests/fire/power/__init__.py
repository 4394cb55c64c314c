"""Power cuts, and what the disk has kept."""
