"""Files, sent and fetched."""
