"""Tests of app/chat/."""
