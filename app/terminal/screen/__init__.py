"""The screen and its parts."""
