"""Tests of app/chat/accounts/."""
