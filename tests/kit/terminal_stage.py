"""A stage for the terminal client: a terminal in memory, and a script in place of the server."""

import asyncio
import io
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte
import pytest
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output

from app.client import ConnectionLost
from app.terminal.application import Terminal
from app.terminal.files.transfers import Server
from app.terminal.memory import InputHistory, Keeping
from tests.kit.client import WAIT_SECONDS_MAX, until

AT = "2026-11-22T14:02:11.123Z"
COLUMNS, ROWS = 80, 24
ALT_0, ALT_1, CTRL_C, CTRL_D, CTRL_N, CTRL_P = "\x1b0", "\x1b1", "\x03", "\x04", "\x0e", "\x10"
PAGE_UP, PAGE_DOWN, UP = "\x1b[5~", "\x1b[6~", "\x1b[A"


class ScriptedClient:
    """Stands for app.client.Client: answers as it is told, and notes what it was asked."""

    user = "alice"

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict]] = []
        self.answers: dict[str, object] = {"rooms": {"rooms": [{"name": "lobby"}, {"name": "lab"}]}}
        self.is_closed = False
        self.may_say = threading.Event()
        self.may_say.set()
        self._events: queue.Queue = queue.Queue()

    def __enter__(self) -> "ScriptedClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.is_closed = True
        self.may_say.set()
        self._events.put(None)

    def happen(self, *events: dict | Exception) -> None:
        for event in events:
            self._events.put(event)

    def events(self) -> Iterator[dict]:
        while event := self._events.get():
            if isinstance(event, Exception):
                raise event
            yield event

    def call(self, op: str, **fields: str) -> dict:
        if op == "say":
            self.may_say.wait(WAIT_SECONDS_MAX)
            if self.is_closed:
                raise ConnectionLost("closed")
            self.happen(said(fields["body"], room=fields["room"], user=self.user))
        self.asked.append((op, fields))
        answer = self.answers.get(op, {})
        if isinstance(answer, Exception):
            raise answer
        if op == "join":
            answer = {"room": fields["room"], "topic": "", "users": ["alice", "bob"]}
        return {"id": 1, "ok": True, **answer}

    def ping(self) -> float:
        return 0.007


def said(body: str, *, room: str = "lobby", user: str = "bob") -> dict:
    event = {"event": "message", "room": room, "id": 1, "user": user, "body": body}
    return {**event, "at": AT, "is_action": False}


class _Screen(pyte.Screen):
    """Counts the bells."""

    rings = 0

    def bell(self, *_: object) -> None:
        self.rings += 1


class Stage:
    """A terminal in memory, the application on it, and the client behind."""

    def __init__(self, folder: Path, pipe, *, has_bell: bool = True) -> None:
        self.client = ScriptedClient()
        self.history = InputHistory(folder / "history")
        self.screen = _Screen(COLUMNS, ROWS)
        self.bytes = ""
        self._feed = pyte.Stream(self.screen)
        self.after_write: Callable[[], None] = lambda: None
        self._pipe = pipe
        depth = ColorDepth.from_env() or ColorDepth.DEPTH_4_BIT
        output = Vt100_Output(self, lambda: Size(self.screen.lines, self.screen.columns), "xterm")
        output.default_color_depth = depth
        server = Server("127.0.0.1:1")
        self.terminal = Terminal(
            self.client,
            server,
            self.history,
            folder,
            Keeping.of(folder, server.address, "alice"),
            has_bell=has_bell,
            input=pipe,
            output=output,
        )
        self.app = self.terminal.screen.application

    # The file that the output writes to.

    encoding = "utf-8"

    def write(self, text: str) -> None:
        self.bytes += text
        self._feed.feed(text)

    def flush(self) -> None:
        self.after_write()

    def fileno(self) -> int:
        raise io.UnsupportedOperation

    def isatty(self) -> bool:
        return True

    # What a person does and sees.

    def type(self, *keys: str) -> None:
        self._pipe.send_bytes("".join(keys).encode(errors="surrogateescape"))

    @property
    def typed(self) -> str:
        """The line at the bottom."""
        return self.rows[-1]

    @property
    def status(self) -> str:
        return self.rows[-2]

    @property
    def rows(self) -> list[str]:
        return [row.rstrip() for row in self.screen.display]

    @property
    def pane(self) -> list[str]:
        """What was said: the rows between the bars that have something, without the time."""
        return [row[6:] for row in self.rows[1:-2] if row]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the screen shows something."""
        await until(condition, tell=lambda: "\n".join(self.rows))

    async def join(self, *rooms: str) -> None:
        for room in rooms:
            self.type(f"/join {room}\r")
            await self.until(lambda room=room: f":{room}]" in self.status)


Scene = Callable[[Stage], object]


@pytest.fixture(name="play")
def play_fixture(tmp_path: Path) -> Callable[..., Stage]:
    """Return what runs a scene on a stage, and leaves at its end."""

    def run(scene: Scene, **options: object) -> Stage:
        async def evening() -> Stage:
            with create_pipe_input() as pipe:
                stage = Stage(tmp_path, pipe, **options)
                running = asyncio.create_task(stage.terminal.run())
                await stage.until(lambda: "7 ms" in stage.status or running.done())
                await scene(stage)
                if not running.done():
                    stage.type(CTRL_C, CTRL_D)
                await asyncio.wait_for(running, WAIT_SECONDS_MAX)
                return stage

        return asyncio.run(evening())

    return run
