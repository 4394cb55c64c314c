"""Tests of app/values/."""
