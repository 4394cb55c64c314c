"""The server as a whole: how it is, and its end."""
