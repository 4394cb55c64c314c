"""`manage.py chat`: brings a client, a model and a screen together, for one user's evening.

The screen's loop is the only one that touches the model. Whatever waits for the server does so in
a thread: one request at a time, in the order in which they were typed; events beside them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from prompt_toolkit.history import History
from prompt_toolkit.input import Input
from prompt_toolkit.output import Output

from app.client import CallRefused, Client, ConnectionLost
from app.errors import BadLine
from app.terminal import phrases
from app.terminal.files import Files
from app.terminal.model import Model, Room
from app.terminal.phrases import Json
from app.terminal.screen import Screen
from app.terminal.transfers import Server, TransferFailed
from app.terminal.typed import CanNotDo, Request, help_lines, read_request

PING_SECONDS = 15  # between two looks at the latency
HISTORY_PAGE_MESSAGES = 200  # fetched when somebody pages up to the top
_REFUSALS = (BadLine, CanNotDo, CallRefused, TransferFailed, OSError)  # ConnectionLost among them
_COME_BACK = {"say", "me"}  # as events, which show that they are stored

_Answerer = Callable[[Request, Room], Awaitable[None]]


class Terminal:
    """A user's rooms on a screen."""

    def __init__(
        self,
        client: Client,
        server: Server,
        history: History,
        downloads: Path,
        *,
        has_bell: bool = True,
        input: Input | None = None,  # noqa: A002 (prompt_toolkit's name for it)
        output: Output | None = None,
    ) -> None:
        """Show what a client that is logged in hears."""
        self._client = client
        self._has_bell = has_bell
        self.model = Model(client.user)
        self.screen = Screen(
            self.model, history, self._submit, self._fetch_past, input=input, output=output
        )
        self._files = Files(self._call, server, downloads, self._show_progress)
        self._typed: asyncio.Queue[tuple[str | Request, Room]] = asyncio.Queue()
        self._fetching_past: set[str] = set()
        self._own: dict[str, _Answerer] = {
            "join": self._join,
            "leave": self._leave,
            "history": self._history,
            "help": self._help,
            "ping": self._ping,
            "send": self._send,
            "get": self._get,
        }

    async def run(self) -> None:
        """Show the screen until the user leaves. Raises CallRefused, ConnectionLost."""
        self.model.tell(
            [f"Hello, {self.model.me}. Enter a room with /join ROOM; /rooms shows them."]
        )
        try:
            with self._client:
                await self.screen.application.run_async(pre_run=self._begin)
        finally:
            self._files.close()

    def _begin(self) -> None:
        for task in (self._follow, self._carry_out, self._measure, self._learn_rooms):
            self._beside(task())

    def _beside(self, task: Coroutine[Any, Any, None]) -> None:
        self.screen.application.create_background_task(task)

    # What the server says.

    async def _follow(self) -> None:
        """Take in events, until there are no more; why there are no more ends the program."""
        events = self._client.events()
        try:
            while (event := await asyncio.to_thread(next, events, None)) is not None:
                if self.model.apply(event) and self._has_bell:
                    self.screen.ring()
                if event.get("event") in ("connected", "missed"):
                    self._beside(self._meet_again())
                self.screen.refresh()
            self.screen.leave()
        except (CallRefused, ConnectionLost) as error:
            self.screen.leave(error)

    async def _measure(self) -> None:
        while True:
            with suppress(CallRefused, ConnectionLost):
                self.model.latency_seconds = await asyncio.to_thread(self._client.ping)
                self.screen.refresh()
            await asyncio.sleep(PING_SECONDS)

    async def _learn_rooms(self) -> None:
        with suppress(CallRefused, ConnectionLost):
            self.model.learn_rooms(await self._call("rooms"))

    async def _meet_again(self) -> None:
        """Ask who is there: some may have come or gone while the connection was lost."""
        with suppress(CallRefused, ConnectionLost):
            for room in self.model.rooms[1:]:
                self.model.meet(await self._call("who", room=room.name))
        self.screen.refresh()

    # What the user types.

    def _submit(self, line: str) -> None:
        if line.strip().lower() == "/quit":
            self.screen.leave()
        elif line.strip().lower() == "/passwd":
            self.screen.ask_hidden(["old password", "new password"], self._change_password)
        else:
            self._queue(line)

    def _queue(self, asked: str | Request) -> None:
        """Carry it out when it is its turn, in the room where it was typed."""
        self.model.waiting += 1
        self._typed.put_nowait((asked, self.model.current))

    def _change_password(self, old: str, new: str) -> None:
        self._queue(Request("passwd", {"old": old, "new": new}))

    async def _carry_out(self) -> None:
        while True:
            asked, room = await self._typed.get()
            with self._telling():
                request = read_request(asked, room.name) if isinstance(asked, str) else asked
                await self._own.get(request.op, self._ask)(request, room)
            self.model.waiting -= 1

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Tell the user what is refused, and draw what has changed."""
        try:
            yield
        except _REFUSALS as refusal:
            self.model.tell([f"Error: {refusal}"], "error")
        finally:
            self.screen.refresh()

    async def _call(self, op: str, **fields: object) -> Json:
        """Ask the server; whatever is said goes out here, and comes back in by `Model.apply`."""
        return await asyncio.to_thread(partial(self._client.call, op, **fields))

    async def _ask(self, request: Request, room: Room) -> None:
        answer = await self._call(request.op, **request.fields)
        if request.op == "rooms":
            self.model.learn_rooms(answer)
        if request.op not in _COME_BACK:
            self.model.tell(phrases.answer_lines(request.op, answer))

    async def _join(self, request: Request, room: Room) -> None:
        known = self.model.find(request.fields["room"])
        if known:
            self.model.show(known)
            return
        with self.model.joining():
            self.model.enter(await self._call("join", **request.fields))

    async def _leave(self, request: Request, room: Room) -> None:
        answer = await self._call("leave", **request.fields)
        self.model.leave(room)
        self.model.tell(phrases.answer_lines("leave", answer))

    async def _history(self, request: Request, room: Room) -> None:
        """Get what was said before all that is here."""
        if room.has_past:
            await self._add_past(room, request.fields.get("count", HISTORY_PAGE_MESSAGES))
        else:
            self.model.tell([f"There is nothing earlier in {room.name}."])

    async def _ping(self, request: Request, room: Room) -> None:
        seconds = self.model.latency_seconds = await asyncio.to_thread(self._client.ping)
        self.model.tell([f"The server answered in {seconds * 1000:.0f} ms."])

    async def _help(self, request: Request, room: Room) -> None:
        self.model.tell(help_lines(request.fields.get("command", "")))

    async def _send(self, request: Request, room: Room) -> None:
        self._beside(self._transfer(self._files.send(request.fields["path"], room.name)))

    async def _get(self, request: Request, room: Room) -> None:
        self._beside(self._transfer(self._files.get(request.fields["file"])))

    async def _transfer(self, transfer: Awaitable[str]) -> None:
        """Wait for a transfer, and tell how it ended."""
        with self._telling():
            self.model.tell([await transfer])
        self.model.progress = ""

    def _show_progress(self, text: str) -> None:
        self.model.progress = text
        self.screen.refresh()

    def _fetch_past(self, room: Room) -> None:
        if room.name and room.has_past and room.name not in self._fetching_past:
            self._beside(self._add_past(room, HISTORY_PAGE_MESSAGES))

    async def _add_past(self, room: Room, count: int) -> None:
        self._fetching_past.add(room.name)
        fields = {"before": room.first_id} if room.first_id else {}
        with self._telling():
            page = await self._call("history", room=room.name, count=count, **fields)
            self.model.show_past(room, page)
        self._fetching_past.discard(room.name)
