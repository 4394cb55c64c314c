"""Tests of app/wires/."""
