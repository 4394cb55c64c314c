"""A person in front of `manage.py chat`, in a terminal of its own."""

import sys
import time
from collections.abc import Callable

import pexpect
import pyte

from tests.kit.client import WAIT_SECONDS_MAX
from tests.kit.server_process import ROOT, ServerProcess, environment

_CURSOR = 25 << 5  # pyte's number for "the cursor is shown", the end of each drawing


class _Screen(pyte.Screen):
    """A screen that looks at its bottom row at the end of each drawing."""

    def __init__(self, columns: int, lines: int) -> None:
        self.bottom_rows: set[str] = set()
        super().__init__(columns, lines)

    def set_mode(self, *modes: int, **options: bool) -> None:
        super().set_mode(*modes, **options)
        if _CURSOR in self.mode:
            self.bottom_rows.add(self.display[-1].rstrip())


class Person:
    """Somebody in front of `manage.py chat`."""

    def __init__(self, server: ServerProcess, *arguments: str, **more: str) -> None:
        home = server.folder / "home"
        self.state = home / "state" / "greenroom"
        folders = {"HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "TERM": "xterm"}
        self.screen = _Screen(80, 24)
        self.output = ""
        self._stream = pyte.Stream(self.screen)
        self._process = pexpect.spawn(
            sys.executable,
            [str(ROOT / "manage.py"), "chat", str(server.port), *arguments],
            env=environment(server.folder) | folders | more,
            cwd=str(ROOT),
            dimensions=(24, 80),
            encoding="utf-8",
            timeout=WAIT_SECONDS_MAX,
        )
        self._process.delaybeforesend = None

    def answer(self, question: str, text: str) -> None:
        """Wait for a question before there is a screen, and answer it."""
        self._process.expect_exact(question)
        self.type(f"{text}\r")

    def register(self) -> "Person":
        """Answer what `chat --register` asks, up to the screen; returns itself."""
        self.answer("A new password:", "secret")
        self.answer("again:", "secret")
        self.until_row("Hello")
        return self

    def type(self, text: str) -> None:
        self._process.send(text)

    @property
    def rows(self) -> list[str]:
        return [row.rstrip() for row in self.screen.display]

    def look(self) -> None:
        """Take in what the program has drawn."""
        try:
            text = self._process.read_nonblocking(1 << 20, timeout=0.005)
        except pexpect.TIMEOUT:
            return
        self.output += text
        self._stream.feed(text)

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until the screen shows something."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while not condition():
            assert time.monotonic() < deadline, "\n".join(self.rows)
            self.look()

    def until_row(self, text: str) -> None:
        self.until(lambda: any(text in row for row in self.rows))

    def resize(self, columns: int, lines: int) -> None:
        self.screen.resize(lines, columns)
        self._process.setwinsize(lines, columns)

    def leave(self) -> int:
        """Leave, and return the exit code."""
        self.type("/quit\r")
        self._process.expect(pexpect.EOF)
        self._process.close()
        return self._process.exitstatus

    def end(self) -> None:
        self._process.close(force=True)
