"""Tests of app/chat/removal/."""
