"""Kicking, banning and muting: in rooms, and on the whole server."""
