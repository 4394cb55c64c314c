#!/usr/bin/env python3
"""Greenroom's command line: `python manage.py --help`."""

import sys

try:
    import click  # noqa: F401 (whether the dependencies are here)
except ImportError:
    sys.exit("Greenroom is not installed here; run: make install && .venv/bin/python manage.py")

from app.cli import main

if __name__ == "__main__":
    main()
