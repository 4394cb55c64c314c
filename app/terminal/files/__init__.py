"""Send and fetch files."""
