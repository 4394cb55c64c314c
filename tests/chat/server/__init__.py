"""Tests of app/chat/server/."""
