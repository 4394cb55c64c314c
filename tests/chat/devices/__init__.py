"""Tests of app/chat/devices/."""
