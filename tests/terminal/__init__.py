"""Tests of app/terminal/."""
