"""What a command of manage.py said, whether it ran in this process or in one of its own."""

import subprocess

from click.testing import Result

Ran = Result | subprocess.CompletedProcess[str]


def exit_code(ran: Ran) -> int:
    return ran.exit_code if isinstance(ran, Result) else ran.returncode


def said(ran: Ran) -> str:
    """Return what a command says, without the last line's end; it must have done its work."""
    assert (exit_code(ran), ran.stderr) == (0, "")
    return ran.stdout.removesuffix("\n")


def refused(ran: Ran) -> str:
    """Return the one line in which a command says why it has not done its work."""
    assert (exit_code(ran), ran.stdout) == (1, "")
    assert ran.stderr.startswith("Error: ")
    assert ran.stderr.count("\n") == 1
    return ran.stderr.removeprefix("Error: ").removesuffix("\n")
