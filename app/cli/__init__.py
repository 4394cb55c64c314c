"""The commands of manage.py.

They import what they need when they run, so that `--help` is quick.
"""

from app.cli.main import main as main
