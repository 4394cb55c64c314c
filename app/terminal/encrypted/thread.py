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
from functools import partial
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

from app.client import CallRefused, Client
from app.client.incoming import is_same_name
from app.encryption import (
    Ask,
    Device,
    EncryptionRefusal,
    FileReference,
    Notice,
    Received,
    ServerRefused,
    Shown,
    StoreRefused,
    private_room,
    received,
)
from app.encryption.flows import Flow
from app.encryption.payloads import MessageKind, room_key_of
from app.encryption.people import PLAINTEXT
from app.encryption.refusals import (
    KeyFileRefused,
    KeyMissing,
    PlaintextInjected,
    RoomRenamed,
    SaidBefore,
)
from app.terminal.arrivals import Json
from app.terminal.encrypted.keys import Keys
from app.terminal.model import Verdict
from app.terminal.typed import CanNotDo, Mistyped, ServerSays
from app.values.sizes import format_size
from app.values.times import now

SEALED_MAX = 10_000  # messages that wait to be read: as many as a room keeps lines
FILES_MAX = 10_000  # that can be fetched by their number
TELLERS_MAX = 8  # who told of one number; there is one, or somebody lies
PASSPHRASE_CHARACTERS_MIN = 8  # of a new one: who has the file may guess without end
_SHORT = f"a passphrase has at least {PASSPHRASE_CHARACTERS_MIN} characters"
_LOCKED = "your keys are not open; type /unlock"
_PASSWORD = "that is your password, which the server knows; take something else"  # noqa: S105
_CLEAR = (
    "a message shown as from {user} is not encrypted, in a room that is; /unlock tells whether it"
    " is from before"
)
_MESSAGES = ("message", "private")
_JUDGED = (*_MESSAGES, "file", "renamed")
_SEALED = (KeyMissing, SaidBefore)  # what nothing is wrong with, but that there is no key for it

_Result = TypeVar("_Result")
_Arguments = ParamSpec("_Arguments")


class Said(NamedTuple):
    """An event, or a line of history; it `is_live` when it came unasked, as new."""

    event: Json
    is_live: bool


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
        self._sealed: deque[Said] = deque(maxlen=SEALED_MAX)
        self._live: set[str] = set()  # rooms whose replay has ended, "" for private messages
        self._seen: set[str] | None = None  # what closed keys have seen, as last read
        self.files = KnownFiles()

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
        if not self.has_keys:
            self._check_new(passphrase)
        self._device = self._keys.open(passphrase)

    def _check_new(self, passphrase: str) -> None:
        """Raise Mistyped for a passphrase that shall protect no keys."""
        if self._client.is_password(passphrase):
            raise Mistyped(_PASSWORD)
        if len(passphrase) < PASSPHRASE_CHARACTERS_MIN:
            raise Mistyped(_SHORT)

    async def replace(self, passphrase: str) -> str:
        """Make new keys in place of those that can't be opened, which are kept; return where.

        What those have seen encrypted stays so. Raises CanNotDo.
        """
        return await self._work(self._replace, passphrase)

    def _replace(self, passphrase: str) -> str:
        self._check_new(passphrase)
        self._device, self._end = None, ""
        kept = self._keys.put_aside()
        self._device = self._keys.open(passphrase)
        return kept

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
                raise ServerSays(str(refusal)) from refusal
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
        return (Mistyped if isinstance(refusal, KeyFileRefused) else CanNotDo)(str(refusal))

    async def _tell(self, device: Device) -> None:
        for news in await self._work(device.notices.take):
            if isinstance(news, Shown):
                self.files.note(news.room, news.user, news.file)
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
        return room_key_of(room) in await self._look_at_seen()

    async def _look_at_seen(self) -> set[str]:
        """Return the rooms and users that closed keys have seen encrypted. Raises CanNotDo."""
        self._seen = await self._work(self._keys.seen_encrypted)
        return self._seen

    async def say(self, room: str, body: str, kind: MessageKind) -> None:
        """Say something in a room. Raises CanNotDo, ConnectionLost: then it goes out later."""
        await self.drive(lambda device, at: device.say(room, body, at, kind=kind))

    async def is_private_to(self, user: str) -> bool:
        """Whether what is for a user alone has to be encrypted. Raises CanNotDo."""
        if self.is_open:
            return await self.drive(lambda device, _: device.is_private_to(user))
        seen = await self._look_at_seen()
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

    async def judge(self, event: Json) -> Verdict | None:
        """Return what is made of an event, if there is anything to say of it.

        Whoever shows it without waiting for anything else does so before what `show` is told of
        later, such as that a key came.
        """
        said = Said(event, self._is_live(event))
        if event.get("event") not in _JUDGED:
            return None
        return (await self._judge_all([said]))[0]

    async def judge_page(self, messages: Sequence[Json]) -> list[Verdict | None]:
        """Return what is made of each message of a page of history that we asked for."""
        return await self._judge_all([Said(message, is_live=False) for message in messages])

    def expect_replay(self, room: str) -> None:
        """Take what comes first from a room that is being entered for what was said before."""
        self._live.discard(room.casefold())

    def _is_live(self, event: Json) -> bool:
        """Whether an event is new, whatever it says: only what comes first may be a replay."""
        if event.get("event") in ("reconnecting", "connected"):
            self._live.clear()  # what was missed comes
        room = str(event.get("room", "")).casefold()
        if event.get("is_replayed") is not True and ("room" in event or "user" in event):
            self._live |= {room, ""}
        return room in self._live

    async def _judge_all(self, said: Sequence[Said]) -> list[Verdict | None]:
        if not self.is_open:
            return [await self._judge_closed(each) for each in said]
        try:
            return await self._work(self._judge_open, self._open_device, said)
        except EncryptionRefusal as refusal:
            self.show(Notice("store", str(self._refused(refusal))))
            return [Verdict(str(refusal), "!", is_refused=True)] * len(said)

    async def _judge_closed(self, said: Said) -> Verdict | None:
        """Return what can be said of a message while the keys are closed."""
        event = said.event
        if event.get("enc") is not None:
            self._sealed.append(said._replace(is_live=False))
            return None
        try:
            seen = await self._look_at_seen() if self._seen is None else self._seen
            is_secret = _room_of(event, self._client.user) in seen
        except (CanNotDo, EncryptionRefusal):
            is_secret = self.has_keys  # nobody can know, so it is as if it were
        if event["event"] not in _MESSAGES:
            return _judged_fact(event) if is_secret else None
        if not is_secret:
            return Verdict(str(event["body"]), PLAINTEXT) if event["event"] == "private" else None
        self._sealed.append(said)
        text = _CLEAR.format(user=event["user"])
        return Verdict(text, PLAINTEXT, is_refused=True, is_sealed=True)

    async def unsealed(self) -> list[tuple[Json, Verdict | None]]:
        """Return what could not be read when it came, each with what is made of it now."""
        said = await self._work(self._take_sealed)
        verdicts = await self._judge_all(said)
        return [(each.event, verdict) for each, verdict in zip(said, verdicts, strict=True)]

    def _take_sealed(self) -> list[Said]:
        sealed = list(self._sealed)
        self._sealed.clear()
        return sealed

    def _judge_open(self, device: Device, said: Sequence[Said]) -> list[Verdict | None]:
        me = self._client.user
        verdicts: list[Verdict | None] = [None] * len(said)
        to_read: dict[int, Received] = {}
        for place, (event, is_live) in enumerate(said):
            is_secret = event.get("enc") is not None or _is_encrypted(device, event, me)
            if event["event"] == "file":
                self.files.note(str(event.get("room", "")), event["user"], None, event["id"])
            if event["event"] not in _MESSAGES:
                verdicts[place] = _judged_fact(event) if is_secret else None
            elif is_secret or event["event"] == "private":
                to_read[place] = received(dict(event), me, is_live=is_live)
        for place, shown in zip(to_read, device.read(to_read.values()), strict=True):
            if isinstance(shown.refusal, _SEALED):
                self._sealed.append(said[place]._replace(is_live=False))
            self.files.note(shown.room, shown.user, shown.file)
            verdicts[place] = verdict_on(shown)
        return verdicts


class KnownFiles:
    """Which files were told of, by their number: a number may be told twice, and by a liar."""

    def __init__(self) -> None:
        self._files: dict[int, dict[tuple[str, str], FileReference | None]] = {}

    def note(self, room: str, user: str, file: FileReference | None, number: int = 0) -> None:
        """Note a file that was told of, encrypted; without one, the one in the clear."""
        number = file.id if file else number
        if not number:
            return
        told = self._files.setdefault(number, {})
        if len(told) < TELLERS_MAX:
            told.setdefault((room, user), file)  # the first stays
        if len(self._files) > FILES_MAX:
            del self._files[next(iter(self._files))]

    def find(self, number: int, user: str = "", room: str = "") -> FileReference | None:
        """Return what opens a file; None for one in the clear, or that nobody told of.

        Where several told of the number, `user` is whose is meant, and of theirs the one in `room`,
        or for them alone. Raises CanNotDo when that leaves more than one.
        """
        told = self._files.get(number, {})
        meant = {key: told[key] for key in told if not user or is_same_name(user, key[1])}
        if user and not meant:
            raise CanNotDo(f"{user} has told of no file {number}")
        if user and len(meant) > 1:
            meant = {key: told[key] for key in meant if is_same_name(room, key[0])} or meant
        if len({file and file.sha256 for file in meant.values()}) > 1:
            tellers = sorted({teller for _, teller in meant})
            how = " or ".join(f"/get {number} from {teller}" for teller in tellers)
            where = ", in the room of the one that you mean" if len(tellers) == 1 else ""
            raise CanNotDo(f"there are several files of the number {number}; type: {how}{where}")
        return next(iter(meant.values()), None)


def _advance(step: Callable[[], Ask]) -> Any:
    """Take a step of a flow; return what it asks, or its end."""
    try:
        return step()
    except StopIteration as end:
        return end


def _room_of(event: Json, me: str) -> str:
    """Return the room of an event, in the form in which they are compared. Raises Malformed."""
    if "room" in event:
        return room_key_of(str(event["room"]))
    other = event.get("recipient") or event.get("to") or me
    return private_room(str(event.get("user")), str(other))


def _is_encrypted(device: Device, event: Json, me: str) -> bool:
    try:
        return device.is_encrypted(_room_of(event, me))
    except EncryptionRefusal:
        return True  # a name that can't be one: reading it says so


def _judged_fact(event: Json) -> Verdict:
    """Return what is made of what can't be true of a room that is encrypted."""
    if event["event"] == "renamed":
        refusal: EncryptionRefusal = RoomRenamed(room=event["room"], name=event["name"])
    else:
        refusal = PlaintextInjected(what="a file", user=event["user"])
    return Verdict(str(refusal), PLAINTEXT, is_refused=True)


def verdict_on(shown: Shown) -> Verdict:
    """Return a message that was read, as the model takes it."""
    text = shown.body
    if shown.refusal:
        text = str(shown.refusal)
    elif shown.file:
        text = f"shares {shown.file.name} ({format_size(shown.file.size)}): /get {shown.file.id}"
    is_sealed = isinstance(shown.refusal, _SEALED)
    return Verdict(
        text,
        "" if is_sealed else shown.mark,
        shown.kind != "text",
        shown.refusal is not None,
        is_sealed,
        shown.at,
    )


def revealed(shown: Shown, me: str) -> Json:
    """Return the event of a message that could not be read when it came."""
    event: dict[str, Any] = {"event": "message", "room": shown.room}
    if shown.room.startswith("@"):
        others = set(shown.room[1:].split(",")) - {shown.user}
        event = {"event": "private", "to": min(others, default=me)}
    return event | {"id": shown.id, "user": shown.user}
