"""Join client, model and screen, for one user.

Only the screen's loop touches the model. Threads wait for the server: for one request at a time, in
the order in which they were typed; and for events beside them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompt_toolkit.history import History
from prompt_toolkit.input import Input
from prompt_toolkit.output import Output

from app.bounds import PAGE_ITEMS_MAX
from app.client import CallRefused, Client, ConnectionLost
from app.client.incoming import is_same_name
from app.errors import BadLine
from app.terminal import phrases
from app.terminal.arrivals import Json, event_of, page_of
from app.terminal.asking import Asking
from app.terminal.encrypted import commands as trust
from app.terminal.files.files import Files
from app.terminal.files.transfers import Server, TransferFailed
from app.terminal.memory import Keeping
from app.terminal.model import Model, Room
from app.terminal.outgoing import Outgoing, Typed
from app.terminal.screen.screen import Screen
from app.terminal.typed import CanNotDo, Request, ServerSays, help_lines, read_request
from app.values.sizes import format_count
from app.wires.text.commands import split_command

if TYPE_CHECKING:
    from app.terminal.encrypted.conversation import Secrecy
    from app.terminal.encrypted.thread import Encryption

PING_SECONDS = 15  # between two looks at the latency
HISTORY_PAGE_MESSAGES = 200  # fetched when the user pages up to the top
_REFUSALS = (BadLine, CanNotDo, CallRefused, TransferFailed, OSError)  # ConnectionLost among them
_FEW = 3  # requests that may wait before a command: the user types fast
_TOO_LONG = {"line_too_long", "too_long"}
_COME_BACK = {"say", "me"}  # ops that come back as events, and are shown then
_NO_LIBRARY = "what is encrypted needs a library: .venv/bin/pip install vodozemac"

_Answerer = Callable[[Request, Room], Awaitable[None]]


class Terminal:
    """A user's rooms on a screen; keeps app.terminal.host.Host."""

    def __init__(
        self,
        client: Client,
        server: Server,
        history: History,
        downloads: Path,
        keeping: Keeping,
        *,
        has_bell: bool = True,
        encryption: Encryption | None = None,
        input: Input | None = None,  # noqa: A002 (prompt_toolkit's name for it)
        output: Output | None = None,
    ) -> None:
        """Show the events of a client that is logged in.

        Without `encryption`, encrypted rooms can't be read.
        """
        self._client = client
        self._has_bell = has_bell
        self.model = Model(client.user)
        self.screen = Screen(
            self.model, history, self._submit, self._fetch_past, input=input, output=output
        )
        self.asking = Asking(self)
        self._files = Files(self._call, server, downloads, self._show_progress)
        self._encryption = encryption
        self._secrecy = self._secrecy_with(encryption) if encryption else None
        self._kept_rooms = keeping.rooms
        self._outgoing = Outgoing(keeping.lines, self._note_waiting)
        self._is_back = False  # whether the rooms of the last run were entered
        self._is_leaving = False  # whether to leave as soon as all is said
        self._ops: set[str] | None = None  # ops that the user may ask for, once known
        self._fetching_past: set[str] = set()
        self._own: dict[str, _Answerer] = {
            "join": self._join,
            "leave": self._leave,
            "history": self._history,
            "ping": self._ping,
            "send": self._send,
            "get": self._get,
            "say": self._say,
            "me": self._say,
            "msg": self._tell,
            "unlock": self._unlock,
            **dict.fromkeys(trust.COMMANDS, self._manage_keys),
        }

    def _secrecy_with(self, encryption: Encryption) -> Secrecy:
        # Here, because it needs a library that may be missing.
        from app.terminal.encrypted.conversation import Secrecy

        return Secrecy(self, self.asking, encryption, self._files)

    async def run(self) -> None:
        """Show the screen until the user leaves. Raises CallRefused, ConnectionLost."""
        self.model.tell(
            [f"Hello, {self.model.me}. Enter a room with /join ROOM; /rooms shows them."]
        )
        if self._secrecy:
            self._secrecy.greet()
        try:
            with self._client:
                await self.screen.application.run_async(pre_run=self._begin)
        finally:
            self._keep_rooms()
            self._files.close()
            if self._encryption:
                self._encryption.close()

    def _begin(self) -> None:
        for task in (self._follow, self._carry_out, self._measure, self._learn, self._come_back):
            self.beside(task())

    async def _come_back(self) -> None:
        """Enter the last run's rooms, and say its unsaid lines."""
        shown, *names = [str(name) for name in self._kept_rooms.items()] or [""]
        for name in names:
            with self.telling():
                try:
                    await self._meet(await self.enter(name, create=False), may_ask=False)
                except ConnectionLost:  # it has ended: the kept rooms stay for the next start
                    return
        self.model.show(self.model.find(shown) or self.model.current)
        self._is_back = True
        self._keep_rooms()
        if self._secrecy:
            await self._secrecy.heed({"event": "connected"})
        self._say_again()
        self.screen.refresh()

    def _say_again(self) -> None:
        count = 0
        for name, line, txn in list(self._outgoing.left()):
            room = self.model.find(name)
            if room:
                self._outgoing.put_back(room, line, txn)
                count += 1
            else:
                self._outgoing.forget_left(name, line, txn)
                self.model.tell([f"Error: not said in {name}, where you are not: {line}"], "error")
        if count:
            lines = format_count(count, "line")
            self.model.tell([f"{lines} from before now said; /drop forgets those that wait."])

    def _keep_rooms(self) -> None:
        """Store the user's rooms, for the next start."""
        if self._is_back:
            names = [room.name for room in self.model.rooms[1:]]
            self._kept_rooms.replace([self.model.current.name, *names])

    def beside(self, task: Coroutine[Any, Any, None]) -> None:
        """Run a task beside all else, until the user leaves."""
        self.screen.application.create_background_task(task)

    # Events of the server.

    async def _follow(self) -> None:
        """Take in events until they end. An error that ends them ends the program."""
        events = self._client.events()
        try:
            while (event := await asyncio.to_thread(next, events, None)) is not None:
                await self._take(event)
            self.screen.leave()
        except (CallRefused, ConnectionLost) as error:
            self.screen.leave(error)

    async def _take(self, said: Json) -> None:
        event: Json = event_of(said) or {}
        verdict = await self._secrecy.judge(event) if self._secrecy else None
        if self.model.apply(event or said, verdict):
            self.ring()
        if event.get("event") in ("connected", "missed"):
            self.beside(self._meet_again())
        if self._secrecy:
            await self._secrecy.heed(event)
        self.screen.refresh()

    def ring(self) -> None:
        """Ring the terminal's bell, unless the user wants none."""
        if self._has_bell:
            self.screen.ring()

    async def _measure(self) -> None:
        while True:
            with suppress(CallRefused, ConnectionLost):
                self.model.latency_seconds = await asyncio.to_thread(self._client.ping)
                self.screen.refresh()
            await asyncio.sleep(PING_SECONDS)

    async def _learn(self) -> None:
        with suppress(CallRefused, ConnectionLost):
            self.model.learn_rooms(await self._call("rooms"))
            ops = (await self._call("help")).get("ops")
            self._ops = {str(op) for op in ops} if isinstance(ops, dict) else None

    async def _meet_again(self) -> None:
        """Ask for the people of each room.

        Some may have come or gone while the connection was lost.
        """
        with suppress(CallRefused, ConnectionLost):
            for room in self.model.rooms[1:]:
                self.model.meet(await self._call("who", room=room.name, count=PAGE_ITEMS_MAX))
        self.screen.refresh()

    # Lines that the user types.

    def _submit(self, line: str) -> None:
        word, rest = split_command(line.lower())
        if word == "/quit":
            self._quit()
        elif word == "/help":
            with self.telling():
                self.model.tell(help_lines(rest.strip(), self._ops))
        elif word == "/drop":
            dropped = format_count(self._outgoing.drop(), "line")
            self.model.tell([f"{dropped} forgotten."])
        elif word == "/passwd" and not rest:
            self.asking.ask(["old password", "new password"], self._change_password)
        elif word == "/unregister" and not rest:
            self.asking.ask(["password"], self._unregister)
        elif not (self._secrecy and self._ask_first(self._secrecy, line)):
            self.queue(line)

    def _quit(self) -> None:
        """Leave when all is said. If that can't be now, say so first."""
        unsaid = self._outgoing.unsaid
        if self._is_leaving or not unsaid:
            self.screen.leave()
            return
        self._is_leaving = True
        kept = sum(typed.is_kept for typed in unsaid)
        parts = [f"{format_count(kept, 'line')} will be said at the next start"] if kept else []
        parts += [f"{format_count(len(unsaid) - kept, 'line')} will be lost"] * (kept < len(unsaid))
        self.model.tell(
            [f"Leaving when all is said. /quit again leaves now: {', and '.join(parts)}."]
        )

    def _ask_first(self, secrecy: Secrecy, line: str) -> bool:
        """Ask for the passphrase that a command needs. Returns whether it needs one."""
        try:
            request = read_request(line, self.model.current.name)
        except _REFUSALS:
            return False  # it is refused when it is its turn
        if request.op == "keys" and secrecy.is_open:
            secrecy.ask_for_file(request)
        elif request.op == "unlock" and not secrecy.is_open:
            secrecy.ask_passphrase()
        elif request.op == "encrypt" and not secrecy.is_open:
            secrecy.ask_passphrase(line)
        elif request.fields.get("act") == "begin-anew" and not secrecy.is_open:
            secrecy.ask_to_begin_anew()
        else:
            return False
        return True

    def queue(self, asked: str | Request) -> None:
        """Queue a line or request until it is its turn.

        It is for the room in which it was typed.
        """
        self._is_leaving = False
        is_stuck = not self.model.is_connected or self.model.waiting > _FEW
        self._outgoing.put(asked, self.model.current, is_stuck=is_stuck)

    async def _change_password(self, old: str, new: str) -> None:
        answer = await self._call("passwd", old=old, new=new)
        self.model.tell(phrases.answer_lines("passwd", answer), source="server")

    async def _unregister(self, password: str) -> None:
        answer = await self._call("unregister", password=password)
        self.model.tell(phrases.answer_lines("unregister", answer), source="server")

    async def _carry_out(self) -> None:
        while True:
            typed = await self._outgoing.next()
            is_answered = True
            with self.telling():
                try:
                    await self._do(typed)
                except ConnectionLost:
                    is_answered = False
                    raise
            self._outgoing.done(is_answered=is_answered)
            if self._is_leaving and not self._outgoing.unsaid:
                self.screen.leave()

    async def _do(self, typed: Typed) -> None:
        """Carry out a typed line or request.

        A line that is too long comes back to be typed. Raises one of _REFUSALS.
        """
        asked, room = typed.asked, typed.room
        request = read_request(asked, room.name) if isinstance(asked, str) else asked
        if typed.txn:
            request.fields["txn"] = typed.txn
        try:
            await self._own.get(request.op, self._ask)(request, room)
        except CallRefused as refusal:
            if isinstance(asked, str) and refusal.code in _TOO_LONG:
                self.screen.give_back(asked)
            raise

    def _note_waiting(self, count: int) -> None:
        self.model.waiting = count
        self.screen.refresh()

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Tell the user of a refusal; draw the changes."""
        try:
            yield
        except (CallRefused, ServerSays) as refusal:
            self.model.tell([f"Error: {refusal}"], "error", source="server")
        except _REFUSALS as refusal:
            self.model.tell([f"Error: {in_words(refusal)}"], "error")
        finally:
            self.screen.refresh()

    async def _call(self, op: str, **fields: object) -> Json:
        """Ask the server, in a thread. Raises CallRefused, ConnectionLost."""
        return await asyncio.to_thread(partial(self._client.call, op, **fields))

    async def _ask(self, request: Request, room: Room) -> None:
        answer = await self._call(request.op, **request.fields)
        if request.op == "rooms":
            self.model.learn_rooms(answer)
        if after := request.fields.get("after"):  # to say in words after what the list begins
            answer = {**answer, "after": after}
        if request.op not in _COME_BACK:
            self.model.tell(phrases.answer_lines(request.op, answer), source="server")

    async def _join(self, request: Request, room: Room) -> None:
        known = self.model.find(request.fields["room"])
        if known:
            self.model.show(known)
        room = known or await self.enter(request.fields["room"])
        self._keep_rooms()
        await self._meet(room, may_ask=True)

    async def _meet(self, room: Room, *, may_ask: bool) -> None:
        if self._secrecy:
            await self._secrecy.meet(room, may_ask=may_ask)
        elif room.is_encrypted:
            self.model.tell([f"{room.name} is encrypted; {_NO_LIBRARY}"], "notice")

    async def enter(self, name: str, *, create: bool = True) -> Room:
        """Enter a room that the user is not in.

        `create`: make it if there is none. Raises CallRefused, ConnectionLost, CanNotDo.
        """
        if self._encryption:
            self._encryption.expect_replay(name)
        with self.model.joining():
            answer = await self._call("join", room=name, **({} if create else {"create": False}))
            if not is_same_name(name, str(answer.get("room"))):
                raise CanNotDo(f"asked for {name}, the server led into another room: not entered")
            return self.model.enter(answer)

    async def _say(self, request: Request, room: Room) -> None:
        """Say something; in the clear only where that may be.

        That is where nothing was ever seen encrypted. Raises one of _REFUSALS.
        """
        if self._secrecy and await self._secrecy.say(request, room):
            return
        if room.is_encrypted:
            raise CanNotDo(_NO_LIBRARY)
        try:
            await self._ask(request, room)
        except CallRefused as refusal:
            if refusal.code == "e2ee_required":
                room.is_encrypted = True
            raise

    async def _tell(self, request: Request, room: Room) -> None:
        if self._secrecy and await self._secrecy.tell_user(request):
            return
        user, body = request.fields["user"], request.fields["body"]
        answer = await self._call(request.op, **request.fields)
        mark = "-" if self._secrecy else ""
        self.model.tell([f"[private to {user}] {body}"], "private", mark, source="")
        self.model.tell(phrases.away_lines(user, answer), source="server")

    async def _unlock(self, request: Request, room: Room) -> None:
        if self._secrecy is None:
            raise CanNotDo(_NO_LIBRARY)
        raise CanNotDo("your keys are open")

    async def _manage_keys(self, request: Request, room: Room) -> None:
        if self._secrecy is None:
            raise CanNotDo(_NO_LIBRARY)
        await self._secrecy.carry_out(request, room)

    async def _leave(self, request: Request, room: Room) -> None:
        answer = await self._call("leave", **request.fields)
        self.model.leave(room)
        self._keep_rooms()
        self.model.tell(phrases.answer_lines("leave", answer), source="server")

    async def _history(self, request: Request, room: Room) -> None:
        """Get the messages before all that are here."""
        if room.has_past:
            await self._add_past(room, request.fields.get("count", HISTORY_PAGE_MESSAGES))
        else:
            self.model.tell([f"There is nothing earlier in {room.name}."])

    async def _ping(self, request: Request, room: Room) -> None:
        seconds = self.model.latency_seconds = await asyncio.to_thread(self._client.ping)
        self.model.tell([f"The server answered in {seconds * 1000:.0f} ms."])

    async def _send(self, request: Request, room: Room) -> None:
        sealed = await self._secrecy.sending(request, room) if self._secrecy else None
        if room.is_encrypted and not self._secrecy:
            raise CanNotDo(_NO_LIBRARY)
        sending = sealed or self._files.send(request.fields["path"], room.name)
        self.beside(self._transfer(sending))

    async def _get(self, request: Request, room: Room) -> None:
        sealed = self._secrecy.getting(request, room) if self._secrecy else None
        mark = "-" if room.is_encrypted and not sealed else ""
        self.beside(self._transfer(sealed or self._files.get(request.fields["file"]), mark))

    async def _transfer(self, transfer: Awaitable[str], mark: str = "") -> None:
        """Wait for a transfer, and tell how it ended."""
        with self.telling():
            self.model.tell([await transfer], mark=mark)
        self.model.progress = ""

    def _show_progress(self, text: str) -> None:
        self.model.progress = text
        self.screen.refresh()

    def _fetch_past(self, room: Room) -> None:
        if room.name and room.has_past and room.name not in self._fetching_past:
            self.beside(self._add_past(room, HISTORY_PAGE_MESSAGES))

    async def _add_past(self, room: Room, count: int) -> None:
        self._fetching_past.add(room.name)
        fields = {"before": room.first_id} if room.first_id else {}
        with self.telling():
            page = await self._call("history", room=room.name, count=count, **fields)
            messages = page_of(page, room.name)
            verdicts = await self._secrecy.judge_page(messages) if self._secrecy else None
            self.model.show_past(room, {**page, "messages": messages}, verdicts)
        self._fetching_past.discard(room.name)


def in_words(error: Exception) -> str:
    """Return why something failed. For a file, it is without the system's number."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
