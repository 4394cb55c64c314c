"""Runs manage.py in a process that a test has changed before: `python -m tests.kit.prepared`.

What changes it are functions named in the environment, each as "module:function". So the product
needs no hook for its tests, and what is not asked for costs nothing.
"""

import os
from collections.abc import Callable
from importlib import import_module

PREPARED_BY = "TESTS_PREPARED_BY"


QUICK_HASHES = {"argon2__memory_cost": 8, "argon2__time_cost": 1}  # they are slow on purpose


def hash_quickly() -> None:
    """Let passwords cost nothing: most tests are not about that."""
    from app.chat.accounts import passwords

    passwords._context.update(**QUICK_HASHES)


def name_of(function: Callable[[], object]) -> str:
    """Return how the environment names a function."""
    return f"{function.__module__}:{function.__name__}"


def prepare() -> None:
    """Let this process be changed as its environment says, if it does."""
    for each in os.environ.get(PREPARED_BY, "").split():
        module, _, function = each.partition(":")
        getattr(import_module(module), function)()


def run(arguments: list[str] | None = None) -> None:
    """Do what manage.py does with these arguments, or those of the process. Raises SystemExit."""
    prepare()
    from app.cli import main

    main(arguments, prog_name="manage.py")


if __name__ == "__main__":
    run()
