"""Standard input, output and error of manage.py: there in any case, and their failures in words."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import RawIOBase, TextIOWrapper
from typing import Any, BinaryIO, cast

import click

_ERROR = 2  # the descriptor of standard error
_NAMES = ("stdin", "stdout", "stderr")


class _Lossy(RawIOBase):
    """Standard error: what can't be written there is lost, for nobody could be told of it."""

    def writable(self) -> bool:
        """See io.IOBase."""
        return True

    def fileno(self) -> int:
        """See io.IOBase."""
        return _ERROR

    def isatty(self) -> bool:
        """See io.IOBase."""
        return os.isatty(_ERROR)

    def write(self, data: Any) -> int:
        """See io.RawIOBase."""
        left = memoryview(data)
        with suppress(OSError):
            while left:
                left = left[os.write(_ERROR, left) :]
        return len(data)


def open_missing() -> None:
    """Open what whoever started this has closed, so that no other file gets its number.

    Nothing can be written to standard output then, nor read from standard input: that fails as
    before. What can't be written to standard error changes nothing, the exit code least.
    """
    if sys.stderr is sys.__stderr__:  # or it was exchanged, and may be anything
        encoding = sys.stderr.encoding if sys.stderr else "utf-8"
        sys.stderr = TextIOWrapper(cast(BinaryIO, _Lossy()), encoding, write_through=True)
    for descriptor, name in enumerate(_NAMES):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # it gets the lowest number that is free: this one
        if getattr(sys, name) is None:
            mode = "w" if descriptor else "r"
            setattr(sys, name, open(descriptor, mode, errors="backslashreplace", closefd=False))  # noqa: SIM115
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


class _Stopped(SystemExit):
    """A signal came; gevent's hub hands on what is a SystemExit."""


@contextmanager
def stopping_in_words() -> Iterator[None]:
    """Let a signal end a server in good order, and with a word, that does not handle any yet.

    SIGHUP is none of those under systemd or nohup.
    """
    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    before = {number: signal.getsignal(number) for number in numbers}
    if before[signal.SIGHUP] is signal.SIG_IGN or "NOTIFY_SOCKET" in os.environ:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        numbers.remove(signal.SIGHUP)

    def stop(_number: int, _frame: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)  # once is enough
        raise _Stopped

    for number in numbers:
        signal.signal(number, stop)
    try:
        yield
    except _Stopped:
        click.echo("stopped before it listened; nobody was here yet", err=True)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
