"""Counters, timings and figures of a running server."""
