"""Tests say what a user sees; one sentence over each states the rule."""
