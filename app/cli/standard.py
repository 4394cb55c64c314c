"""Make manage.py's standard streams safe, and word their failures."""

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
    """Standard error; a failure to write there is ignored. There is no other place to report it."""

    def writable(self) -> bool:
        """Return True: bytes may be written."""
        return True

    def fileno(self) -> int:
        """Return the descriptor of standard error."""
        return _ERROR

    def isatty(self) -> bool:
        """Return whether standard error is a terminal."""
        return os.isatty(_ERROR)

    def write(self, data: Any) -> int:
        """Write bytes, and ignore failures. Returns their number."""
        left = memoryview(data)
        with suppress(OSError):
            while left:
                left = left[os.write(_ERROR, left) :]
        return len(data)


def open_missing() -> None:
    """Open standard streams that are closed.

    Then no other file gets their numbers. Reading from such an input, or writing to such an output,
    fails as before. A failure to write to standard error changes nothing, not even the exit code.
    """
    if sys.stderr is sys.__stderr__:  # or it was replaced
        encoding = sys.stderr.encoding if sys.stderr else "utf-8"
        sys.stderr = TextIOWrapper(cast(BinaryIO, _Lossy()), encoding, write_through=True)
    for descriptor, name in enumerate(_NAMES):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # which gets the lowest free number: this one
        if getattr(sys, name) is None:
            mode = "w" if descriptor else "r"
            setattr(sys, name, open(descriptor, mode, errors="backslashreplace", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            with suppress(OSError):  # it was replaced beneath us
                stream.reconfigure(errors="backslashreplace")  # escape what its encoding lacks


def check_arguments(arguments: Sequence[str]) -> None:
    """Check that each argument is UTF-8. Raises click's error, of one line."""
    for number, argument in enumerate(arguments, 1):
        try:
            argument.encode()
        except UnicodeEncodeError:
            shown = argument.encode(errors="backslashreplace").decode()
            raise click.UsageError(f"argument {number} is not UTF-8: {shown}") from None


class _Stopped(SystemExit):
    """A signal came; gevent's hub passes on a SystemExit."""


@contextmanager
def stopping_in_words() -> Iterator[None]:
    """End with a word on an early signal.

    For the time before the server handles signals. Under systemd or nohup, SIGHUP is ignored.
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
    """Raise click's error if standard output could not be written.

    It is one line. A reader who hangs up (a broken pipe) is left to click.
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
    """Send unwritten output nowhere. Else Python would try again at its end, and complain."""
    with suppress(OSError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, sys.stdout.fileno())
        os.close(descriptor)
