"""Commands of manage.py at a terminal."""

import sys
from collections.abc import Callable, Iterator

import pexpect
import pytest

from tests.kit.client import WAIT_SECONDS_MAX
from tests.kit.server_process import ROOT, environment


class Terminal(pexpect.spawn):
    """A command at a terminal, as a person would run it."""

    def ended(self) -> int:
        """Wait for its end, and return its exit code; `before` has what it wrote last."""
        self.expect(pexpect.EOF)
        self.close()
        return self.exitstatus


@pytest.fixture
def terminal(server) -> Iterator[Callable[..., Terminal]]:
    """Return what runs a command at a terminal, beside the server."""
    started: list[Terminal] = []

    def start(*arguments: str) -> Terminal:
        started.append(
            Terminal(
                sys.executable,
                [str(ROOT / "manage.py"), *arguments],
                env={**environment(server.folder), "TERM": "xterm", "NO_COLOR": "1"},
                cwd=str(ROOT),
                encoding="utf-8",
                timeout=WAIT_SECONDS_MAX,
                dimensions=(60, 120),
            )
        )
        return started[-1]

    yield start
    for each in started:
        each.close(force=True)
