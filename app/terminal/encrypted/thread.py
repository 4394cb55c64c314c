"""Run the user's device in a thread of its own.

Only that thread touches keys, so that neither the disk nor a cipher keeps the screen waiting. A
flow takes several requests: flows take turns, and messages are read between two steps of one.

Promises:
  1. A room or a user that was ever seen encrypted counts as encrypted: also while the keys are
     closed, and whatever the server says.
  2. A message is on the disk before it is sent. If a crash or a lost connection keeps it back, it
     is sent with the next `start`, once.
  3. When the keys can't be used any more, such as because they were copied, nothing more is sent.
     Every refusal is then the sentence that says why.
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

SEALED_MAX = 10_000  # messages that wait for keys: as many as a room keeps lines
FILES_MAX = 10_000  # that can be fetched by their number
TELLERS_MAX = 8  # users who told of one number: at most one is honest
PASSPHRASE_CHARACTERS_MIN = 8  # of a new one: a thief of the file may guess without end
_SHORT = f"a passphrase has at least {PASSPHRASE_CHARACTERS_MIN} characters"
_LOCKED = "your keys are not open; type /unlock"
_PASSWORD = "that is your password, which the server knows; take something else"  # noqa: S105
_CLEAR = (
    "a message shown as from {user} is not encrypted, in a room that is; /unlock tells whether it"
    " is from before"
)
_MESSAGES = ("message", "private")
_JUDGED = (*_MESSAGES, "file", "renamed")
_SEALED = (KeyMissing, SaidBefore)  # nothing is wrong, but there is no key

_Result = TypeVar("_Result")
_Arguments = ParamSpec("_Arguments")


class Said(NamedTuple):
    """An event, or a line of history. `is_live`: it came unasked, as new."""

    event: Json
    is_live: bool


class Encryption:
    """The user's device, for the screen; see the promises above.

    `show` is called with news that were not asked for.
    """

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self.show: Callable[[Notice | Shown], None] = lambda news: None
        self._device: Device | None = None
        self._end = ""  # why the keys can't be used any more
        self._worker = ThreadPoolExecutor(1, "keys")
        self._turns = asyncio.Lock()
        self._sealed: deque[Said] = deque(maxlen=SEALED_MAX)
        self._live: set[str] = set()  # rooms whose replay has ended; "" for private messages
        self._seen: set[str] | None = None  # what closed keys have seen, as last read
        self.files = KnownFiles()

    # The keys.

    @property
    def has_keys(self) -> bool:
        """Return whether there are keys, open or not."""
        return self._keys.is_there

    @property
    def is_open(self) -> bool:
        """Return whether there are keys to read and write with."""
        return self._device is not None and not self._end

    def open(self, passphrase: str) -> None:
        """Open the keys, or make them. It blocks for some 0.3 s. Raises CanNotDo."""
        if not self.has_keys:
            self._check_new(passphrase)
        self._device = self._keys.open(passphrase)

    def _check_new(self, passphrase: str) -> None:
        """Check a passphrase for new keys. Raises Mistyped."""
        if self._client.is_password(passphrase):
            raise Mistyped(_PASSWORD)
        if len(passphrase) < PASSPHRASE_CHARACTERS_MIN:
            raise Mistyped(_SHORT)

    async def replace(self, passphrase: str) -> str:
        """Make new keys; return where the old ones are kept.

        Those can't be opened any more. Rooms and users that they saw encrypted stay so. Raises
        CanNotDo.
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
        """Close the keys, once the work under way is done."""
        self._worker.submit(self._keys.close)
        self._worker.shutdown()

    def check_is_open(self) -> None:
        """Check that there are keys to write with.

        Raises CanNotDo, which says why there are none.
        """
        if not self.is_open:
            raise CanNotDo(self._end or _LOCKED)

    @property
    def _open_device(self) -> Device:
        self.check_is_open()
        return cast(Device, self._device)

    # Asking the server.

    async def drive(self, begin: Callable[[Device, int], Flow[_Result]]) -> _Result:
        """Run a flow in its turn; return its result.

        `begin` makes the flow, from the device and the time in ms. Raises CanNotDo, ConnectionLost.
        """
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
        is_introduction = asked.op == "keys.device.put"  # a new connection needs it first
        ask = self._client.introduce if is_introduction else self._client.call
        try:
            return ask(asked.op, **asked.fields)
        except CallRefused as refusal:
            raise ServerRefused(refusal.code, str(refusal)) from refusal

    async def work(self, act: Callable[[Device], _Result]) -> _Result:
        """Run `act` with the device; it needs no server. Raises CanNotDo."""
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
        """Return a refusal as it is told to the person.

        If the keys can't be used, it stands for every later refusal too.
        """
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
        """Take in an event that the server sent unasked.

        Returns whether `attend` has something to do. Raises CanNotDo.
        """
        return self.is_open and await self.work(lambda device: device.pushed(dict(event)))

    async def attend(self) -> None:
        """Do what pushes left to do. Raises CanNotDo, ConnectionLost."""
        await self.drive(lambda device, at: device.attend(at))

    async def rooms_unsent(self) -> set[str]:
        """Return the rooms with messages still to be sent.

        The user has to be in them for that. Raises CanNotDo.
        """
        rooms = await self.work(lambda device: device.rooms_unsent)
        return {room for room in rooms if not room.startswith("@")}

    # Messages to send.

    async def is_encrypted(self, room: str) -> bool:
        """Return whether a room was ever seen encrypted. Raises CanNotDo when it can't be known."""
        if self.is_open:
            return await self.work(lambda device: device.is_encrypted(room))
        return room_key_of(room) in await self._look_at_seen()

    async def _look_at_seen(self) -> set[str]:
        """Return the rooms and users that closed keys saw encrypted. Raises CanNotDo."""
        self._seen = await self._work(self._keys.seen_encrypted)
        return self._seen

    async def say(self, room: str, body: str, kind: MessageKind) -> None:
        """Say something in a room. Raises CanNotDo; ConnectionLost: then it is sent later."""
        await self.drive(lambda device, at: device.say(room, body, at, kind=kind))

    async def is_private_to(self, user: str) -> bool:
        """Return whether messages to a user must be encrypted. Raises CanNotDo."""
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
        """Return the room of the conversation with a user. Raises CanNotDo."""
        try:
            return private_room(self._client.user, user)
        except EncryptionRefusal as refusal:
            raise CanNotDo(str(refusal)) from refusal

    # Messages to read.

    async def judge(self, event: Json) -> Verdict | None:
        """Return the verdict on an event, or None.

        A caller that applies it without another wait does so before later news reach `show`, such
        as a key for the message.
        """
        said = Said(event, self._is_live(event))
        if event.get("event") not in _JUDGED:
            return None
        return (await self._judge_all([said]))[0]

    async def judge_page(self, messages: Sequence[Json]) -> list[Verdict | None]:
        """Return the verdict on each message of a history page. The page was asked for."""
        return await self._judge_all([Said(message, is_live=False) for message in messages])

    def expect_replay(self, room: str) -> None:
        """Take a room's next messages for its replay. That is when the room is being entered."""
        self._live.discard(room.casefold())

    def _is_live(self, event: Json) -> bool:
        """Return whether an event is new.

        Only the first events after a connect or a join may be a replay, whatever a later one says.
        """
        if event.get("event") in ("reconnecting", "connected"):
            self._live.clear()  # missed messages come next
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
        """Return the verdict on an event, with closed keys."""
        event = said.event
        if event.get("enc") is not None:
            self._sealed.append(said._replace(is_live=False))
            return None
        try:
            seen = await self._look_at_seen() if self._seen is None else self._seen
            is_secret = _room_of(event, self._client.user) in seen
        except (CanNotDo, EncryptionRefusal):
            is_secret = self.has_keys  # it can't be known, so it counts as encrypted
        if event["event"] not in _MESSAGES:
            return _judged_fact(event) if is_secret else None
        if not is_secret:
            return Verdict(str(event["body"]), PLAINTEXT) if event["event"] == "private" else None
        self._sealed.append(said)
        text = _CLEAR.format(user=event["user"])
        return Verdict(text, PLAINTEXT, is_refused=True, is_sealed=True)

    async def unsealed(self) -> list[tuple[Json, Verdict | None]]:
        """Return the messages that could not be read, with verdicts.

        The verdicts are those of now. A message that still can't be read is kept again.
        """
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
    """The files that were told of, by their numbers. A number may be told twice, and by a liar."""

    def __init__(self) -> None:
        self._files: dict[int, dict[tuple[str, str], FileReference | None]] = {}

    def note(self, room: str, user: str, file: FileReference | None, number: int = 0) -> None:
        """Note a file that was told of.

        `file` opens an encrypted one; None for one in the clear, which has `number`.
        """
        number = file.id if file else number
        if not number:
            return
        told = self._files.setdefault(number, {})
        if len(told) < TELLERS_MAX:
            told.setdefault((room, user), file)  # the first stays
        if len(self._files) > FILES_MAX:
            del self._files[next(iter(self._files))]

    def find(self, number: int, user: str = "", room: str = "") -> FileReference | None:
        """Return the reference that opens a file, or None.

        It is None for a file in the clear, or one that was not told of. Where several users told of
        the number, `user` is the one that is meant; of theirs it is the one in `room`, if there is
        one. Raises CanNotDo if that leaves several.
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
    """Take a step of a flow; return its request or end."""
    try:
        return step()
    except StopIteration as end:
        return end


def _room_of(event: Json, me: str) -> str:
    """Return an event's room, folded to compare it. Raises Malformed."""
    if "room" in event:
        return room_key_of(str(event["room"]))
    other = event.get("recipient") or event.get("to") or me
    return private_room(str(event.get("user")), str(other))


def _is_encrypted(device: Device, event: Json, me: str) -> bool:
    try:
        return device.is_encrypted(_room_of(event, me))
    except EncryptionRefusal:
        return True  # the name can't be one: reading it says so


def _judged_fact(event: Json) -> Verdict:
    """Return the verdict on a fact that can't be true.

    An encrypted room has no other name, and no file in the clear.
    """
    if event["event"] == "renamed":
        refusal: EncryptionRefusal = RoomRenamed(room=event["room"], name=event["name"])
    else:
        refusal = PlaintextInjected(what="a file", user=event["user"])
    return Verdict(str(refusal), PLAINTEXT, is_refused=True)


def verdict_on(shown: Shown) -> Verdict:
    """Return the verdict on a message that was read."""
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
    """Return the event of a message that became readable."""
    event: dict[str, Any] = {"event": "message", "room": shown.room}
    if shown.room.startswith("@"):
        others = set(shown.room[1:].split(",")) - {shown.user}
        event = {"event": "private", "to": min(others, default=me)}
    return event | {"id": shown.id, "user": shown.user}
