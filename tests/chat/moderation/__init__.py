"""Tests of app/chat/moderation/."""
