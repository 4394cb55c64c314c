"""People at terminals in memory, whose clients talk to the server in memory that may lie."""

import asyncio
import json
import queue
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from app.client import CallRefused, ConnectionLost
from app.encryption import ServerRefused
from app.terminal.application import Terminal
from app.terminal.encrypted.keys import Keys
from app.terminal.encrypted.thread import Encryption
from app.terminal.files.transfers import Server as Address
from app.terminal.memory import InputHistory, Keeping
from app.terminal.screen.appearance import rows_of
from tests.encryption.fakes import CHEAP, Server
from tests.kit.client import WAIT_SECONDS_MAX, until

PASSPHRASE = "correct horse"
AT = "2026-11-22T14:02:11.123Z"


class Events(queue.Queue):
    """Events on their way to a client, with times, of which the server in memory knows nothing."""

    def append(self, event: dict) -> None:
        self.put({"at": AT, **event})

    @property
    def are_taken_in(self) -> bool:
        """Whether the client is done with all of them."""
        return not self.unfinished_tasks

    def follow(self) -> Iterator[dict]:
        """Yield them until the client is closed."""
        while (event := self.get()) is not None:
            yield event
            self.task_done()


@dataclass
class Seat:
    """How the server in memory knows a client."""

    user: str
    events: Events = field(default_factory=Events)

    def __post_init__(self) -> None:
        self.account = self.user
        self.device = SimpleNamespace(me=SimpleNamespace(device=""))

    @property
    def address(self) -> str:
        return f"{self.user}/{self.device.me.device}"


class FakeClient:
    """A client, logged in. It keeps what is said in the clear, and can lose its connection."""

    def __init__(self, server: Server, name: str) -> None:
        self.server, self.user, self.seat = server, name, Seat(name)
        self.clear: list[str] = []
        self.offered: dict[str, Any] = {}
        self.losses: dict[str, int] = {}  # how often an op ends in a lost connection
        server.chats.append(self.seat)

    def events(self) -> Iterator[dict]:
        return self.seat.events.follow()

    def introduce(self, op: str, **fields: Any) -> dict:
        device = json.loads(fields["payload"])["device"]["id"]
        self.seat.device = SimpleNamespace(me=SimpleNamespace(device=device))
        return self.call(op, **fields)

    def call(self, op: str, **fields: Any) -> dict:
        if self.losses.get(op):
            self.losses[op] -= 1
            raise ConnectionLost("gone")
        own = getattr(self, f"_{op.replace('.', '_')}", None)
        if own and "enc" not in fields:
            return own(**fields)
        try:
            return self.server.ask(self.seat, op, fields)
        except ServerRefused as refusal:
            raise CallRefused(refusal.code, str(refusal)) from refusal

    def _help(self) -> dict:
        return {}

    def _join(self, room: str, **_: bool) -> dict:
        there = self.server.rooms[room]
        return {"room": room, "topic": "", "users": there["members"], "e2ee": there["e2ee"]}

    def _rooms(self, **_: object) -> dict:
        return {"rooms": [], "has_more": False}

    def _who(self, room: str, **_: int) -> dict:
        return {"room": room, "people": []}

    def _say(self, room: str, body: str, **_: str) -> dict:
        self.clear.append(body)
        return {"message_id": 1}

    def _msg(self, user: str, body: str, **_: str) -> dict:
        self.clear.append(body)
        return {"message_id": 1, "recipient": user, "body": body, "away": None}

    def _history(self, room: str, count: int, **_: int) -> dict:
        messages = [{"at": AT, **each} for each in self.server.messages if each.get("room") == room]
        return {"room": room, "messages": messages, "has_more": False}

    def _file_offer(self, **fields: Any) -> dict:
        self.offered = fields
        return {"url": "/f/17"}

    def _file_get(self, file: int) -> dict:
        return {"url": f"/f/{file}", "size": self.offered.get("size")}

    def is_password(self, text: str) -> bool:
        return text == "secret"

    def ping(self) -> float:
        return 0.001

    def close(self) -> None:
        if self.seat in self.server.chats:
            self.server.chats.remove(self.seat)
        self.seat.events.put(None)

    def __enter__(self) -> "FakeClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Person:
    """Somebody at a terminal."""

    def __init__(self, server: Server, name: str, folder: Path, pipe, address: Address) -> None:
        self.client = FakeClient(server, name)
        self._pipe = pipe
        self.keys = Keys(folder / f"keys of {name}", "server:1", name, CHEAP)
        self.history = InputHistory(folder / f"history of {name}")
        self.encryption = Encryption(self.client, self.keys)
        self.downloads = folder / "downloads"
        self.terminal = Terminal(
            self.client,
            address,
            self.history,
            self.downloads,
            Keeping.of(folder, "server:1", name),
            encryption=self.encryption,
            input=pipe,
            output=DummyOutput(),
        )
        self.model = self.terminal.model
        self.history.is_private = lambda: self.model.current.is_encrypted

    async def sit(self) -> None:
        with create_app_session(input=self._pipe, output=DummyOutput()):  # one of several here
            await self.terminal.run()

    @property
    def lines(self) -> list[str]:
        """What is on the screen, without times."""
        rows = [row for line in self.model.current.lines for row in rows_of(line, None, 500)]
        return ["".join(piece[1] for piece in row[1:]) for row in rows]

    def type(self, *lines: str) -> None:
        self._pipe.send_text("".join(f"{line}\r" for line in lines))

    async def until(self, condition: Callable[[], object]) -> None:
        await until(condition, tell=lambda: "\n".join(self.lines))

    async def sees(self, *texts: str) -> None:
        """Wait until each of these is on the screen."""
        for text in texts:
            await self.until(lambda text=text: any(text in line for line in self.lines))

    async def answers(self, *texts: str) -> None:
        """Answer what is asked without showing the answers."""
        await self.until(lambda: self.terminal.screen.is_asking)
        self.type(*texts)

    async def enter(self, room: str = "den", *, is_new: bool = True) -> None:
        """Enter an encrypted room for the first time, answering what is asked.

        Whoever is there knows it then: what they say sooner is not for the one who comes.
        """
        self.type(f"/join {room}")
        if is_new:
            await self.answers(PASSPHRASE, PASSPHRASE)
        await self.sees("who reads you there")
        chats = self.client.server.chats
        await self.until(lambda: all(chat.events.are_taken_in for chat in chats))


@asynccontextmanager
async def sat_down(
    server: Server, folder: Path, *names: str, address: str = "127.0.0.1:1"
) -> AsyncIterator[list[Person]]:
    """People at terminals, until they leave."""
    async with AsyncExitStack() as stack:
        people, tasks = [], []
        for name in names:
            pipe = stack.enter_context(create_pipe_input())
            people.append(Person(server, name, folder, pipe, Address(address)))
            tasks.append(asyncio.create_task(people[-1].sit()))
        try:
            yield people
        finally:
            for person in people:
                person.client.close()
            await asyncio.wait_for(asyncio.gather(*tasks), WAIT_SECONDS_MAX)
