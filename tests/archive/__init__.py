"""Tests of app/archive/."""
