"""What is encrypted, on its way in and out: one device of the user, and the thread that has it.

Whatever touches keys happens in that thread, so that neither the disk nor a cipher keeps the screen
waiting. What takes several requests takes turns; between two of them, messages are read.

What it promises:
  1. What was ever seen encrypted, is: also while the keys are closed, whatever the server says.
  2. What was said is on the disk before it is sent. What a crash or a lost connection kept back
     goes out with the next `start`, once.
  3. When the keys can't be used any more, such as for a copy of them, nothing more is sent, and
     the sentence that says why stands for every refusal.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, ParamSpec, TypeVar, cast

from app.client import CallRefused, Client
from app.encryption import (
    Ask,
    Device,
    EncryptionRefusal,
    FileReference,
    Notice,
    ServerRefused,
    Shown,
    StoreRefused,
    private_room,
    received,
)
from app.encryption.flows import Flow
from app.encryption.payloads import MessageKind, room_key_of
from app.encryption.refusals import KeyMissing, SaidBefore
from app.sizes import format_size
from app.terminal.keys import Keys
from app.terminal.phrases import Json
from app.terminal.typed import CanNotDo
from app.times import now

SEALED_MAX = 10_000  # messages that wait to be read: as many as a room keeps lines
FILES_MAX = 10_000  # that can be fetched by their number
PASSPHRASE_CHARACTERS_MIN = 8  # of a new one: who has the file may guess without end
_SHORT = (
    f"a passphrase has at least {PASSPHRASE_CHARACTERS_MIN} characters; type /unlock to try again"
)
_LOCKED = "your keys are not open; type /unlock"
_PASSWORD = "that is your password, which the server knows; take something else"  # noqa: S105
_MESSAGES = ("message", "private")
_SEALED = (KeyMissing, SaidBefore)  # what nothing is wrong with, but that there is no key for it

_Result = TypeVar("_Result")
_Arguments = ParamSpec("_Arguments")


class Encryption:
    """See the promises at the top of this file. `show` is told what nobody asked for."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self.show: Callable[[Notice | Shown], None] = lambda news: None
        self._device: Device | None = None
        self._end = ""  # why the keys can't be used any more
        self._worker = ThreadPoolExecutor(1, "keys")
        self._turns = asyncio.Lock()
        self._sealed: deque[Json] = deque(maxlen=SEALED_MAX)
        self._files: dict[int, FileReference] = {}

    # The keys.

    @property
    def has_keys(self) -> bool:
        """Whether there are keys, open or not."""
        return self._keys.is_there

    @property
    def is_open(self) -> bool:
        """Whether there are keys to read and to write with."""
        return self._device is not None and not self._end

    def open(self, passphrase: str) -> None:
        """Open the keys, or make them; blocks for some 0.3 s. Raises CanNotDo."""
        if not self.has_keys and self._client.is_password(passphrase):
            raise CanNotDo(_PASSWORD)
        if not self.has_keys and len(passphrase) < PASSPHRASE_CHARACTERS_MIN:
            raise CanNotDo(_SHORT)
        self._device = self._keys.open(passphrase)

    async def unlock(self, passphrase: str) -> None:
        """Open the keys, or make them. Raises CanNotDo."""
        if self._device is None:
            await self._work(self.open, passphrase)

    def close(self) -> None:
        """Let another program open the keys, once what is being done is done."""
        self._worker.submit(self._keys.close)
        self._worker.shutdown()

    def check_is_open(self) -> None:
        """Raise CanNotDo, which says why, when there are no keys to write with."""
        if not self.is_open:
            raise CanNotDo(self._end or _LOCKED)

    @property
    def _open_device(self) -> Device:
        self.check_is_open()
        return cast(Device, self._device)

    # Asking the server.

    async def drive(self, begin: Callable[[Device, int], Flow[_Result]]) -> _Result:
        """Do what takes several requests, when it is its turn. Raises CanNotDo, ConnectionLost."""
        async with self._turns:
            device = self._open_device
            try:
                return await self._drive(begin(device, now()))
            except EncryptionRefusal as refusal:
                raise self._refused(refusal) from refusal
            except ServerRefused as refusal:
                raise CanNotDo(str(refusal)) from refusal
            finally:
                await self._tell(device)

    async def _drive(self, flow: Flow[_Result]) -> _Result:
        step: Callable[[], Ask] = partial(next, flow)
        try:
            while isinstance(asked := await self._work(_advance, step), Ask):
                try:
                    answer = await asyncio.to_thread(self._ask, asked)
                    step = partial(flow.send, answer)
                except ServerRefused as refusal:
                    step = partial(flow.throw, refusal)
        finally:
            await self._work(flow.close)
        return cast(_Result, asked.value)

    def _ask(self, asked: Ask) -> dict[str, Any]:
        is_introduction = asked.op == "keys.device.put"  # which a new connection needs first of all
        ask = self._client.introduce if is_introduction else self._client.call
        try:
            return ask(asked.op, **asked.fields)
        except CallRefused as refusal:
            raise ServerRefused(refusal.code, str(refusal)) from refusal

    async def work(self, act: Callable[[Device], _Result]) -> _Result:
        """Do what asks nothing of the server. Raises CanNotDo."""
        device = self._open_device
        try:
            return await self._work(act, device)
        except EncryptionRefusal as refusal:
            raise self._refused(refusal) from refusal
        finally:
            await self._tell(device)

    async def _work(
        self, act: Callable[_Arguments, _Result], *args: _Arguments.args, **_: _Arguments.kwargs
    ) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._worker, act, *args)

    def _refused(self, refusal: EncryptionRefusal) -> CanNotDo:
        """Return what the person is told; with keys that can't be used, for good."""
        if isinstance(refusal, StoreRefused):
            self._end = str(refusal)
        return CanNotDo(str(refusal))

    async def _tell(self, device: Device) -> None:
        for news in await self._work(device.notices.take):
            self._note_file(news)
            self.show(news)

    # The connection.

    async def start(self) -> None:
        """Do what is due after each login. Raises CanNotDo, ConnectionLost."""
        await self.drive(lambda device, at: device.start(at))

    async def pushed(self, event: Json) -> bool:
        """Take in what the server told unasked. Returns whether `attend` has something to do."""
        return self.is_open and await self.work(lambda device: device.pushed(dict(event)))

    async def attend(self) -> None:
        """Do what pushes gave us to do. Raises CanNotDo, ConnectionLost."""
        await self.drive(lambda device, at: device.attend(at))

    async def rooms_unsent(self) -> set[str]:
        """Return the rooms where something is still to be said: one has to be in them for that."""
        rooms = await self.work(lambda device: device.rooms_unsent)
        return {room for room in rooms if not room.startswith("@")}

    # What is said.

    async def is_encrypted(self, room: str) -> bool:
        """Whether a room was ever seen encrypted. Raises CanNotDo when nobody can know."""
        if self.is_open:
            return await self.work(lambda device: device.is_encrypted(room))
        return room_key_of(room) in await self._work(self._keys.seen_encrypted)

    async def say(self, room: str, body: str, kind: MessageKind) -> None:
        """Say something in a room. Raises CanNotDo, ConnectionLost: then it goes out later."""
        await self.drive(lambda device, at: device.say(room, body, at, kind=kind))

    async def is_private_to(self, user: str) -> bool:
        """Whether what is for a user alone has to be encrypted. Raises CanNotDo."""
        if self.is_open:
            return await self.drive(lambda device, _: device.is_private_to(user))
        seen = await self._work(self._keys.seen_encrypted)
        if not seen.isdisjoint({room_key_of(user), self.private_room(user)}):
            self.check_is_open()
        return False

    async def say_privately(self, user: str, body: str) -> Json:
        """Say something to one user; return the answer. Raises as `say`."""
        return await self.drive(lambda device, at: device.say_privately(user, body, at))

    def private_room(self, user: str) -> str:
        """Return the room that stands for the conversation with a user. Raises CanNotDo."""
        try:
            return private_room(self._client.user, user)
        except EncryptionRefusal as refusal:
            raise CanNotDo(str(refusal)) from refusal

    # What is read.

    async def opened(self, events: Sequence[Json]) -> list[Json]:
        """Return events, of which messages are as they may be shown; others are as they were.

        Whoever shows them without waiting for anything else does so before what `show` is told of
        them later, such as that a key came.
        """
        if not self.is_open:
            self._sealed += [event for event in events if event.get("enc") is not None]
            return list(events)
        try:
            return await self._work(self._read, self._open_device, events)
        except EncryptionRefusal as refusal:
            self.show(Notice("store", str(self._refused(refusal))))
            return list(events)

    async def unsealed(self) -> list[Json]:
        """Return once more what could not be read when it came, as it may be shown now."""
        return await self.opened(await self._work(self._take_sealed))

    def _take_sealed(self) -> list[Json]:
        sealed = list(self._sealed)
        self._sealed.clear()
        return sealed

    def _read(self, device: Device, events: Sequence[Json]) -> list[Json]:
        messages = {
            place: received({"to": event.get("recipient"), **event}, self._client.user)
            for place, event in enumerate(events)
            if event.get("event", "message") in _MESSAGES and "user" in event
        }
        secret = [
            place
            for place, message in messages.items()
            if message.enc is not None
            or message.room.startswith("@")
            or _is_encrypted(device, message.room)
        ]
        read = list(events)
        for place, shown in zip(secret, device.read(messages[p] for p in secret), strict=True):
            if isinstance(shown.refusal, _SEALED):
                self._sealed.append(events[place])
            self._note_file(shown)
            read[place] = _opened(events[place], shown)
        return read

    # Files.

    def _note_file(self, news: Notice | Shown) -> None:
        if isinstance(news, Shown) and news.file:
            self._files[news.file.id] = news.file
            if len(self._files) > FILES_MAX:
                del self._files[next(iter(self._files))]

    def file(self, number: int) -> FileReference | None:
        """Return what is needed to open a file that an encrypted message told of."""
        return self._files.get(number)


def _advance(step: Callable[[], Ask]) -> Any:
    """Take a step of a flow; return what it asks, or its end."""
    try:
        return step()
    except StopIteration as end:
        return end


def _is_encrypted(device: Device, room: str) -> bool:
    try:
        return device.is_encrypted(room)
    except EncryptionRefusal:
        return True  # a name that can't be one: reading it says so


def _opened(event: Json, shown: Shown) -> Json:
    """Return a message as the model takes it."""
    text = shown.body
    if shown.refusal:
        text = str(shown.refusal)
    elif shown.file:
        text = f"shares {shown.file.name} ({format_size(shown.file.size)}): /get {shown.file.id}"
    is_sealed = isinstance(shown.refusal, _SEALED)
    recipient = {"recipient": event["to"]} if "to" in event else {}
    return {
        **event,
        **recipient,
        "enc": None,
        "body": text,
        "is_action": shown.kind != "text",
        "mark": "" if is_sealed else shown.mark,
        "is_refused": shown.refusal is not None,
        "is_sealed": is_sealed,
    }


def revealed(shown: Shown, me: str) -> Json:
    """Return a message that could not be read when it came, as the model takes it."""
    event: dict[str, Any] = {
        "event": "message",
        "room": shown.room,
        "id": shown.id,
        "user": shown.user,
        "at": datetime.fromtimestamp(shown.at / 1000, UTC).isoformat(),
    }
    if shown.room.startswith("@"):
        del event["room"]
        others = set(shown.room[1:].split(",")) - {shown.user}
        event |= {"event": "private", "to": min(others, default=me)}
    return _opened(event, shown)
