"""manage.py's commands. What they need they import when they run, so that `--help` is quick."""

from app.cli.main import main as main
