"""The NDJSON wire: for programs."""
