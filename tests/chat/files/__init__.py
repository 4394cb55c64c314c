"""Tests of app/chat/files/."""
