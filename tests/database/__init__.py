"""Tests of app/database/."""
