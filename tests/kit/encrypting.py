"""A person whose client encrypts, at a real server: a connection, and the keys of one device."""

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.client import CallRefused, Client
from app.encryption import Device, KeyStore, Notice, ServerRefused, Shown, received, run
from app.encryption.flows import Flow, Json
from app.values.times import now
from tests.encryption.fakes import CHEAP, PASSPHRASE
from tests.kit.client import WAIT_SECONDS_MAX


class Machine:
    """See the top of this file. `shown` and `notices` are what the person sees, in order."""

    def __init__(self, port: int, user: str, path: Path) -> None:
        self.user = user
        self.shown: list[Shown] = []
        self.notices: list[Notice] = []
        self._port, self._path = port, path
        self.come()

    def come(self) -> None:
        """Connect, log in, and open the keys."""
        address = f"127.0.0.1:{self._port}"
        self.client = Client(address, name=self.user, password="secret", register=True)
        self._events: queue.SimpleQueue[Json] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.store = KeyStore(self._path, PASSPHRASE, CHEAP)
        self.device = Device(self.store, self.user)

    def _listen(self) -> None:
        for event in self.client.events():
            self._events.put(event)

    def start(self) -> "Machine":
        """Do what is to be done after a login; returns itself."""
        self.do(self.device.start(now()))
        return self

    def close(self) -> None:
        self.client.close()
        self.store.close()

    def do(self, flow: Flow[Any]) -> Any:
        try:
            return run(flow, self.ask)
        finally:
            for each in self.device.notices.take():
                (self.shown if isinstance(each, Shown) else self.notices).append(each)

    def say(self, body: str, room: str = "den") -> int:
        return self.do(self.device.say(room, body, now()))["message_id"]

    def ask(self, op: str, fields: Json) -> Json:
        try:
            return self.client.call(op, **fields)
        except CallRefused as refusal:
            raise ServerRefused(refusal.code, str(refusal)) from refusal

    def see(self, is_enough: Callable[[], object]) -> None:
        """Take in what the server tells, until that is enough."""
        while not is_enough():
            self._take_in()

    def hear(self, name: str) -> None:
        """Take in what the server tells, up to an event of that name."""
        while self._take_in() != name:
            pass

    def _take_in(self) -> str:
        event = self._events.get(timeout=WAIT_SECONDS_MAX)
        if event["event"] in ("message", "private"):
            self.shown += self.device.read([received(event, self.user)])
        elif self.device.pushed(event):
            self.do(self.device.attend(now()))
        return event["event"]

    @property
    def id(self) -> str:
        return self.device.me.device

    @property
    def codes(self) -> list[str]:
        """Of what the person was told."""
        return [notice.code for notice in self.notices]

    @property
    def texts(self) -> list[str]:
        """What was read."""
        return [shown.body for shown in self.shown if shown.refusal is None]

    @property
    def closed(self) -> set[int]:
        """Which messages could not be read when they came."""
        return {shown.id for shown in self.shown if shown.refusal is not None}

    def reads(self, body: str) -> None:
        self.see(lambda: body in self.texts)
