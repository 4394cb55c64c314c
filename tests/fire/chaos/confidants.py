"""Those who talk in a room that is encrypted, each with a device whose keys are on the disk.

Their devices are those of app/encryption. They are killed themselves, at any request and at any
commit, and come back with what is in their key stores. To everybody else, the oracle as well, what
they say is its ciphertext; circle.py knows what it means.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Protocol

from app.encryption import (
    Ask,
    Device,
    EncryptionRefusal,
    KeyStore,
    Roster,
    ServerRefused,
    Shown,
    received,
    roomkeys,
    store,
)
from app.encryption.flows import Flow
from app.encryption.payloads import Encrypted
from app.encryption.refusals import KeyMissing, SaidBefore
from tests.encryption.fakes import CHEAP, PASSPHRASE, Killed
from tests.fire.chaos.circle import SECRET_MARK, Circle
from tests.fire.chaos.members import NOT_STORED, ProgramMember, Surroundings
from tests.fire.chaos.oracle import Rooms
from tests.kit.async_program import Line, Program, Refused

ENCRYPTED_ROOM = "sealed"
WAITING_MAX = 3  # texts that one has still to say: what comes meanwhile is not said
KILL_SHARE = 0.04  # of what is said: the sender is killed within so many steps
KILL_STEPS_MAX = 30
MESSAGES_A_SESSION_MAX = 8  # so that keys go around all the time
# What is told though nothing is wrong.
_CALM = {"readers", "new_device", "no_keys", "has_keys", "member_waits"}


class Confiding(Surroundings, Protocol):
    """What they need to know of the run besides."""

    folder: Path
    circle: Circle


class _Returned(NamedTuple):
    """What a flow returned."""

    value: Any


class _Absence(NamedTuple):
    """When somebody did not belong to the room: what was said then need not be read."""

    after_id: int
    ended_at: int | None  # how much had been said by then


def make_haste() -> None:
    """Let devices change their keys often, and not wait for the disk: nobody takes its power."""
    roomkeys.MESSAGES_A_SESSION_MAX = MESSAGES_A_SESSION_MAX
    store._SYNCHRONOUS = "OFF"


class Confidant(ProgramMember):
    """See the top of this file. All devices have one thread, each of them one thing to do."""

    _thread = ThreadPoolExecutor(1, "devices")

    def __init__(self, around: Confiding, number: int, random: Random) -> None:
        super().__init__(around, number, [ENCRYPTED_ROOM], random)
        self._circle = around.circle
        self._path = around.folder / "keys" / f"{self.name}.db"
        self._store: KeyStore | None = None
        self._device: Device | None = None  # there is none while it is killed
        self._turn = asyncio.Lock()  # who does something with the device
        self._woken = asyncio.Event()
        self._events: list[Line] = []
        self._to_say: deque[str] = deque()
        self._knows_all = False  # everybody's keys
        self._steps_left: int | None = None  # until it is killed
        self.kills = 0
        self.unread: dict[int, Line] = {}
        self.roster: Roster | None = None  # as it was seen last; whoever waited was accepted
        self._is_away = False  # does not belong to the room
        self._absences: list[_Absence] = []

    # Coming and going.

    async def run(self) -> None:
        """See Member."""
        await super().run()
        self._woken.set()  # so that `keep_up` ends, too
        async with self._turn:
            self._close()

    async def _arrive(self, program: Program) -> None:
        """Enter the room, and log the device in: it says what is left. Raises OSError, Refused."""
        await self._join(program, ENCRYPTED_ROOM)
        self._is_away = False
        async with self._turn:
            try:
                if self._device is None:
                    await self._in_thread(self._open)
                await self._do(self._device.start(_now()))
                await self._greet()
            except Killed:
                self._die()
                raise ConnectionResetError("killed while coming") from None
            except ServerRefused as refusal:
                raise Refused(refusal.code) from refusal
            except EncryptionRefusal as refusal:
                raise Refused(f"{refusal.code}: {refusal}") from refusal
        self._events += [{**each, "is_replayed": True} for each in self.unread.values()]
        self._circle.arrived.add(self.name)
        self._woken.set()

    def _open(self) -> None:
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        self._store = KeyStore(self._path, PASSPHRASE, CHEAP)
        self._device = Device(self._store, self.name)
        commit = self._store._commit

        def step_and_commit() -> None:
            self._step()
            commit()
            self._step()

        self._store._commit = step_and_commit

    def _step(self) -> None:
        """Go on, unless this is where it is killed."""
        if self._steps_left is not None:
            self._steps_left -= 1
            if self._steps_left < 0:
                raise Killed

    def be_killed(self, steps: int) -> None:
        """End it after so many steps from now on, without a word to anybody."""
        self._steps_left = steps

    def _die(self) -> None:
        self.kills += 1
        self._steps_left = None
        self._close()  # as the operating system does
        self._to_say.clear()
        self.program.lines.reset()

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()
        self._store = self._device = None

    # Doing something.

    def say_in(self, room: str) -> None:
        """See Member."""
        if self._circle.may_talk and not self._is_away and len(self._to_say) < WAITING_MAX:
            self._count += 1
            mark = f"{self._random.getrandbits(48):012x}"
            self._to_say.append(f"{SECRET_MARK}{self.name}-{self._count}-{mark}")
            self._woken.set()

    def behind(self, rooms: Rooms) -> list[str]:
        """See Member."""
        return [] if self._is_away else super().behind(rooms)

    async def keep_up(self) -> None:
        """Read what comes, and say what is to be said, until it is over."""
        while not self._around.is_over:
            await self._woken.wait()
            self._woken.clear()
            async with self._turn:
                if self.is_here and self._device is not None:
                    await self._attend_to_all()

    async def _attend_to_all(self) -> None:
        try:
            await self._take_in()
            while self._to_say and self.is_here:
                await self._say(self._to_say.popleft())
                await self._take_in()
        except Killed:
            self._die()
        except OSError:
            pass  # cut off: `start` makes up for what was not done
        except ServerRefused as refusal:
            self._complain(refusal.code)
            self.program.lines.reset()
        except EncryptionRefusal as refusal:
            self._oracle.violate(f"{self.name}: {refusal.code}: {refusal}")

    async def go_away(self, seconds: float) -> None:
        """Belong to the room no more for a while, and come back. Raises OSError, Refused."""
        async with self._turn:
            self._is_away = True  # until it comes again, however that comes about
            self._to_say.clear()
            self._steps_left = None
            self._absences.append(_Absence(self._circle.newest_id, None))
            await self.program.call("leave", room=ENCRYPTED_ROOM)
        place = self._circle.said_count
        await asyncio.sleep(seconds)
        self._circle.close(self.name, place)
        self.roster = None
        self.program.lines.reset()

    def be_welcome(self) -> None:
        """From now on everybody has accepted it again."""
        self._absences[-1] = self._absences[-1]._replace(ended_at=self._circle.said_count)

    def due(self, ids: Iterable[int]) -> set[int]:
        """Return which messages of some it has not read, and should have."""
        return {each for each in self.unread.keys() & ids if not self._was_absent(each)}

    def _was_absent(self, message_id: int) -> bool:
        return any(
            message_id > absence.after_id
            and (
                absence.ended_at is None
                or self._circle.was_said_before(message_id, absence.ended_at)
            )
            for absence in self._absences
        )

    def give_up(self, ids: set[int]) -> None:
        """Complain of messages that can't be read, if there still are some of these."""
        closed = sorted(self.due(ids))
        if closed:
            self._oracle.violate(f"{self.name} can't read {len(closed)}, first {closed[0]}")
        for message_id in closed:
            del self.unread[message_id]

    async def finish(self) -> None:
        """Empty the mailbox for good, if nothing is in the way."""
        async with self._turn:
            self._to_say.clear()
            if self.is_here and self._device is not None:
                self._steps_left = None
                await self._do(self._device.start(_now()))

    async def _take_in(self) -> None:
        """Take in what the server told since last time. Raises as `_do`."""
        while self._events:
            events, self._events = self._events, []
            said = [received(each, self.name) for each in events if each["event"] == "message"]
            await self._in_thread(lambda said=said: self._show(self._device.read(said)))
            if [each for each in events if self._device.pushed(each)]:
                await self._do(self._device.attend(_now()))
            if not self._is_away and [each for each in events if each["event"] == "roster"]:
                await self._greet()

    async def _greet(self) -> None:
        """Accept at once whoever came, as a person would who knows them. Raises as `_do`."""
        roster = await self._do(self._device.roster(ENCRYPTED_ROOM))
        if roster.waiting:
            roster = await self._do(self._device.accept(ENCRYPTED_ROOM, roster.waiting))
        self.roster = roster

    def _show(self, shown: list[Shown]) -> None:
        for each in shown:
            if each.refusal is None:
                self.unread.pop(each.id, None)
                self._circle.read(self.name, each.user, each.body, each.id)
            elif not isinstance(each.refusal, KeyMissing | SaidBefore):
                self.unread.pop(each.id, None)
                self._oracle.violate(f"{self.name} can't believe {each.id}: {each.refusal}")

    async def _say(self, text: str) -> None:
        """Say something; when it is not answered, the device remembers it. Raises as `_do`."""
        if not self._knows_all:
            await self._do(self._device.start(_now()))
            self._knows_all = True
        if self._random.random() < KILL_SHARE:
            self.be_killed(self._random.randrange(KILL_STEPS_MAX))
        self._circle.say(self.name, text)
        try:
            answer = await self._do(self._device.say(ENCRYPTED_ROOM, text, _now()))
        except ServerRefused as refusal:
            self._oracle.counts.refused += 1
            self._circle.refuse(text)
            if refusal.code not in NOT_STORED:
                raise
        except OSError:
            self._circle.owe(text)
            raise
        else:
            self._circle.acknowledge(text, answer["message_id"])

    # Driving a flow.

    async def _in_thread(self, call: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    async def _do(self, flow: Flow[Any]) -> Any:
        """Drive a flow to its end. Raises OSError when cut off, ServerRefused, Killed."""
        program = self.program
        try:
            came = await self._in_thread(_go_on, flow.send, None)
            while isinstance(came, Ask):
                self._step()
                try:
                    answer = await self._ask(program, came)
                except Refused as refusal:
                    self._step()
                    refused = ServerRefused(str(refusal))
                    came = await self._in_thread(_go_on, flow.throw, refused)
                else:
                    self._step()
                    came = await self._in_thread(_go_on, flow.send, answer)
        except OSError:
            program.lines.reset()
            raise
        finally:
            self._take_notices()
        return came.value

    async def _ask(self, program: Program, request: Ask) -> Line:
        answer = await program.call(request.op, **request.fields)
        if request.op == "say":
            text = _text(request.fields["enc"])
            self._oracle.acknowledge(ENCRYPTED_ROOM, answer["message_id"], text)
        return answer

    def _take_notices(self) -> None:
        for each in self._device.notices.take() if self._device else ():
            if isinstance(each, Shown):
                self._show([each])
            elif each.code not in _CALM:
                self._oracle.violate(f"{self.name} was told {each.code}: {each.text}")

    # What the server shows.

    def _on_event(self, event: Line) -> None:
        super()._on_event(event)
        if event["event"] != "message":
            self._events.append(event)
        self._woken.set()

    def _take_body(self, message: Line) -> str:
        """See ProgramMember: a message is to be read, once it was seen."""
        if message["id"] not in self.unread:
            self._circle.see(message["device"], Encrypted(**message["enc"]))
            event = {"event": "message", "room": ENCRYPTED_ROOM, **message}
            self.unread[message["id"]] = event
            self._events.append(event)
        return _text(message["enc"])


def _go_on(move: Callable[..., Ask], what: object) -> Ask | _Returned:
    """Let a flow take its next step; a StopIteration can't leave a thread."""
    try:
        return move(what)
    except StopIteration as end:
        return _Returned(end.value)


def _text(enc: Line) -> str:
    """Return a ciphertext as the database has it."""
    return json.dumps(enc, separators=(",", ":"))


def _now() -> int:
    return time.time_ns() // 1_000_000
