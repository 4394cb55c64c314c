"""Tests of app/client/."""
