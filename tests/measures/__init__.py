"""Tests of app/measures/."""
