"""Tests of app/chat/rooms/."""
