"""Give the person encrypted rooms: passphrase, messages, readers.

Only the screen's loop calls this. The usual path has no command of its own: a user who enters an
encrypted room is asked for a passphrase once, says something, and the others read it. If something
needs a decision, one line names the command for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from app.client import ConnectionLost
from app.encryption import Notice, Shown
from app.terminal import phrases
from app.terminal.arrivals import Json
from app.terminal.asking import the_same
from app.terminal.encrypted import commands as trust
from app.terminal.encrypted.files import SealedFiles
from app.terminal.encrypted.thread import Encryption, revealed, verdict_on
from app.terminal.files.files import Files, what_to_send
from app.terminal.typed import CanNotDo, Request

if TYPE_CHECKING:
    from app.encryption.payloads import MessageKind
    from app.terminal.asking import Asking
    from app.terminal.host import Host
    from app.terminal.model import Kind, Room, Verdict

LOOK_SECONDS = 0.5  # between two looks at a room's members, while people come and go

WHAT_FOR = (
    "A passphrase protects your keys on this disk. It is not your password, which the server"
    " knows; nobody can tell it to you again."
)
_NEW = ["a new passphrase for your keys", "the same again"]
_OLD = ["the passphrase of your keys"]
_IF_LOST = "If it is lost: Ctrl-C gives up, then /device begin-anew makes new keys."
_ANEW = (
    "New keys, for a passphrase that is lost: others are warned and have to type /trust, and what"
    " was said before can't be read with them. Ctrl-C gives up.",
)
_CLOSED = (
    "Your keys are closed. /unlock opens them; if the passphrase is lost, /device begin-anew makes"
    " new ones."
)
_LATER = "What you said goes out when the connection is back."
_PUSHES = ("td", "keys_changed", "keys_low", "roster")
# Notices that are told though nothing is wrong; the others are errors.
_CALM = {
    *("readers", "new_device", "member_waits", "no_keys", "has_keys", "no_one_time_keys"),
    *("key_missing", "approved", "verified", "verify_asked", "verify_numbers", "not_approved"),
    "wedged_session",
}


class Secrecy:
    """The person's side of encryption; see the file's top."""

    def __init__(self, host: Host, asking: Asking, encryption: Encryption, files: Files) -> None:
        self._host, self._asking = host, asking
        self._model = host.model
        self._encryption = encryption
        self._files = SealedFiles(files, encryption)
        self._looking: set[str] = set()  # rooms whose members are about to be looked at
        self._waiting_told: set[tuple[str, str]] = set()  # rooms, and a new user in them
        self._clear_told: set[str] = set()  # users to whom messages go in the clear
        encryption.show = self._show

    def greet(self) -> None:
        """Tell the user how to open closed keys."""
        if self._encryption.has_keys and not self._encryption.is_open:
            self._model.tell([_CLOSED], "notice")

    # Events.

    async def judge(self, event: Json) -> Verdict | None:
        """Return the verdict on an event, or None."""
        if event.get("event") == "renamed" and (room := self._model.find(event["room"])):
            with suppress(CanNotDo):  # if closed keys can't be read, it counts as encrypted
                await self.is_encrypted(room)
        return await self._encryption.judge(event)

    async def judge_page(self, messages: Sequence[Json]) -> list[Verdict | None]:
        """Return the verdict on each message of a history page."""
        return await self._encryption.judge_page(messages)

    async def heed(self, event: Json) -> None:
        """Take in an event. Work that it leaves is done beside all else."""
        name, room = event.get("event"), self._model.find(str(event.get("room")))
        if name == "connected" or name == "missed":
            self._beside(self.start())
        elif name in _PUSHES:
            if await self._encryption.pushed(event):
                self._beside(self._encryption.attend())
            if name == "roster" and room and room.name not in self._looking:
                self._beside(self._look_soon(room))
        elif name == "encrypted" and room:
            room.is_encrypted = True
            self._beside(self.meet(room))
        elif name == "joined":
            self._waiting_told.discard(
                (str(event.get("room")).casefold(), str(event.get("user")).casefold())
            )

    def _beside(self, work: Awaitable[None]) -> None:
        self._host.beside(self._telling(work))

    async def _telling(self, work: Awaitable[None]) -> None:
        with self._host.telling():
            try:
                await work
            except ConnectionLost:
                return  # the rest is done when the connection is back

    async def _look_soon(self, room: Room) -> None:
        """Look at a room's members soon. Once, when many come and go."""
        self._looking.add(room.name)
        await asyncio.sleep(LOOK_SECONDS)
        self._looking.discard(room.name)
        if self.is_open and room in self._model.rooms:
            await self._encryption.drive(lambda device, _: device.roster(room.name))

    def _show(self, news: Notice | Shown) -> None:
        """Show a notice, or a message that became readable."""
        if isinstance(news, Shown):
            if self._model.reveal(revealed(news, self._model.me), verdict_on(news)):
                self._host.ring()
        elif self._is_new(news):
            kind: Kind = "notice" if news.code in _CALM else "error"
            self._model.notice(news.text, news.room, kind)
        self._host.screen.refresh()

    def _is_new(self, notice: Notice) -> bool:
        """Return whether a notice is worth telling.

        A reminder of a user who still waits to be accepted is not.
        """
        if notice.code != "member_waits":
            return True
        about = (notice.room, notice.user)
        is_new = about not in self._waiting_told
        self._waiting_told.add(about)
        return is_new

    # The keys.

    def ask_passphrase(self, *then: str | Request) -> None:
        """Ask for the passphrase of the keys.

        They are opened or made; then the typed lines or requests are carried out.
        """
        is_new = not self._encryption.has_keys
        self._model.tell([WHAT_FOR if is_new else _IF_LOST], "notice")

        async def unlock(*answers: str) -> None:
            await self._encryption.unlock(the_same(answers))
            self._model.tell([f"Your keys are {'made' if is_new else 'open'}."], "notice")

        async def go_on() -> None:
            await self._telling(self.start())
            for each in then:
                self._host.queue(each)

        self._asking.ask(_NEW if is_new else _OLD, unlock, go_on)

    def ask_to_begin_anew(self) -> None:
        """Ask for a passphrase for new keys. They replace those that can't be opened any more."""
        self._model.tell([*_ANEW, WHAT_FOR], "notice")

        async def put_aside(*answers: str) -> None:
            kept = await self._encryption.replace(the_same(answers))
            told = [f"Your old keys are kept in {kept}."] if kept else []
            self._model.tell([*told, "Your keys are made."], "notice")

        async def go_on() -> None:
            await self._encryption.start()
            self._model.tell(await trust.begin_anew(self._encryption))
            await self.start()

        self._asking.ask(_NEW, put_aside, go_on)

    def ask_for_file(self, request: Request) -> None:
        """Ask for the passphrase of a file of keys. Then the request is carried out."""
        is_new = request.fields["act"] == "export"
        questions = ["a passphrase for that file", "the same again"][: 1 + is_new]
        room = self._model.current

        async def carry_out(*answers: str) -> None:
            fields = {**request.fields, "passphrase": the_same(answers)}
            await self.carry_out(Request(request.op, fields), room)

        self._asking.ask(questions, carry_out)

    @property
    def is_open(self) -> bool:
        """Return whether there are keys to read and write with."""
        return self._encryption.is_open

    async def start(self) -> None:
        """Do what is due after a login.

        Messages that were kept back are sent; those that were sealed are shown. Raises CanNotDo,
        ConnectionLost.
        """
        if not self._encryption.is_open:
            return
        for name in await self._encryption.rooms_unsent():
            if self._model.find(name) is None:
                await self._host.enter(name)
        await self._encryption.start()
        await self._reveal()
        for room in self._model.rooms[1:]:
            await self.meet(room)

    async def _reveal(self) -> None:
        for event, verdict in await self._encryption.unsealed():
            self._model.reveal(event, verdict)

    # Rooms.

    async def is_encrypted(self, room: Room) -> bool:
        """Return whether a room takes no plaintext. Raises CanNotDo."""
        if room.name and not room.is_encrypted:
            room.is_encrypted = await self._encryption.is_encrypted(room.name)
        return room.is_encrypted

    async def meet(self, room: Room, *, may_ask: bool = False) -> None:
        """Learn who reads in a room, if it is encrypted.

        With closed keys, tell what has to be typed first, or with `may_ask` ask for a new
        passphrase. Raises CanNotDo, ConnectionLost.
        """
        if not await self.is_encrypted(room):
            return
        if self._encryption.is_open:
            await self._encryption.drive(lambda device, _: device.roster(room.name))
        elif may_ask and not self._encryption.has_keys and self._host.screen.is_idle:
            self._model.notice(f"{room.name} is encrypted from end to end.", room.name, "notice")
            self.ask_passphrase()
        else:
            text = f"{room.name} is encrypted: type /unlock to read and to write there."
            self._model.notice(text, room.name, "notice")

    async def say(self, request: Request, room: Room) -> bool:
        """Say or do something, if the room is encrypted. Returns whether it is. Raises CanNotDo."""
        if not await self.is_encrypted(room):
            return False
        kind: MessageKind = "me" if request.op == "me" else "text"
        try:
            await self._encryption.say(room.name, request.fields["body"], kind)
        except ConnectionLost:
            self._model.tell([_LATER], "notice")
        return True

    async def tell_user(self, request: Request) -> bool:
        """Say something to a user, if they have keys.

        Returns whether they have. Raises CanNotDo.
        """
        user, body = request.fields["user"], request.fields["body"]
        if not await self._encryption.is_private_to(user):
            if user.casefold() not in self._clear_told:
                self._clear_told.add(user.casefold())
                self._model.tell([self._why_clear(user)], "notice")
            return False
        try:
            answer = await self._encryption.say_privately(user, body)
        except ConnectionLost:
            self._model.tell([_LATER], "notice")
            return True
        self._model.tell(phrases.away_lines(user, answer), source="server")
        return True

    def _why_clear(self, user: str) -> str:
        if self._encryption.is_open:
            return f"{user} has no keys: the server can read what you write to each other."
        return f"The server can read what you write to {user}; /unlock makes keys against that."

    # Files.

    async def sending(self, request: Request, room: Room) -> Awaitable[str] | None:
        """Return what sends a file encrypted, or None.

        It is None where files go in the clear. Raises TransferFailed, CanNotDo.
        """
        path, whom = what_to_send(request.fields["path"], room.name)
        if "user" in whom:
            is_encrypted = await self._encryption.is_private_to(whom["user"])
        else:
            is_encrypted = await self.is_encrypted(room)
        if not is_encrypted:
            return None
        self._encryption.check_is_open()
        return self._files.send(path, whom)

    def getting(self, request: Request, room: Room) -> Awaitable[str] | None:
        """Return what fetches an encrypted file, or None.

        It is None if no encrypted message told of it. Raises CanNotDo if several told of that
        number.
        """
        fields = request.fields
        reference = self._encryption.files.find(fields["file"], fields.get("user", ""), room.name)
        return self._files.get(reference) if reference else None

    # Commands.

    async def carry_out(self, request: Request, room: Room) -> None:
        """Carry out a command about keys.

        Raises CanNotDo, ConnectionLost, TransferFailed, OSError.
        """
        self._model.tell(await trust.carry_out(self._encryption, request, room.name))
        if request.op == "encrypt":
            room.is_encrypted = True
        elif request.op == "keys":
            await self._reveal()
