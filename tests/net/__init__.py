"""Tests of app/net/."""
