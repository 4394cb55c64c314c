"""What tests are made with: servers, people, programs, terminals, databases, watches."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
