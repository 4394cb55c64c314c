"""Standard input, output and error of manage.py: there in any case, and their failures in words."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper

import click

_NAMES = ("stdin", "stdout", "stderr")


def open_missing() -> None:
    """Open what whoever started this has closed, so that no other file gets its number.

    Nothing can be written to it, nor read from it: that fails as before.
    """
    for descriptor, name in enumerate(_NAMES):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # it gets the lowest number that is free: this one
        if getattr(sys, name) is None:
            mode = "w" if descriptor else "r"
            setattr(sys, name, open(descriptor, mode, errors="backslashreplace"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            with suppress(OSError):  # it was exchanged beneath us
                stream.reconfigure(errors="backslashreplace")  # what its encoding lacks is escaped


def check_arguments(arguments: Sequence[str]) -> None:
    """Check that each argument is UTF-8. Raises click's error, of one line."""
    for number, argument in enumerate(arguments, 1):
        try:
            argument.encode()
        except UnicodeEncodeError:
            shown = argument.encode(errors="backslashreplace").decode()
            raise click.UsageError(f"argument {number} is not UTF-8: {shown}") from None


@contextmanager
def told_in_words() -> Iterator[None]:
    """Raise click's error, of one line, when not all could be written to standard output.

    A reader who has enough, and hangs up, is left to click.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is not None:
            raise
        _give_up_output()
        raise click.ClickException(
            f"can't write to standard output: {error.strerror or error}"
        ) from error


def _give_up_output() -> None:
    """Let what could not be written be gone, or Python tries again at the end, and complains."""
    with suppress(OSError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, sys.stdout.fileno())
        os.close(descriptor)
