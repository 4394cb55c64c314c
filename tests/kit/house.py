"""The service without sockets: a house on a database of its own, whose clock the test holds."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from sqlalchemy import text

from app.chat.accounts import passwords
from app.chat.service import Service
from app.database.database import Database
from app.engine.presence import Room, Session
from app.errors import Refusal
from app.protocol import accounts, rooms, talk
from app.protocol.command import Command
from app.settings import Settings
from tests.kit.client import WAIT_SECONDS_MAX
from tests.kit.fakes import FakeClient
from tests.kit.prepared import QUICK_HASHES

START = 1_795_356_120_000  # 2026-11-22 14:02 UTC
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


class House:
    """The service, its operator, and people, each of whom has the password "secret"."""

    def __init__(self, folder: Path, new_database: Path, **settings: object) -> None:
        self.now = START
        self._url = f"sqlite:///{shutil.copy(new_database, folder)}"
        given = {"data_dir": folder, "message_rate": "0", "login_attempts": 0, **settings}
        self._settings = Settings(**given)
        self.open()

    def open(self) -> None:
        """Begin, or begin again on the same data."""
        self.database = Database(self._url, "normal")
        self.service = Service(self.database, self._settings, lambda: self.now)
        self.operator = self.service.connect_operator(FakeClient("control socket"))

    def close(self) -> None:
        self.service.close()

    def come(self, command: Command, client: FakeClient | str | None = None) -> Session:
        """Connect, maybe from an address, and register or log in."""
        client = FakeClient(client) if isinstance(client, str) else client or FakeClient()
        session = self.service.connect(client)
        self.do(session, command)
        return session

    def register(self, name: str, *joined: str, address: str = "127.0.0.1") -> Session:
        """Register, and be in these rooms."""
        session = self.come(accounts.Register(name, "secret"), address)
        session.client.rooms_max = max(1, len(joined))
        self.do(session, *map(rooms.Join, joined))
        return session

    def log_in(self, name: str, client: FakeClient | str | None = None) -> Session:
        return self.come(accounts.Login(name, "secret"), client)

    def leave(self, session: Session) -> None:
        self.service.disconnect(session)

    def do(self, session: Session, *asked: Command) -> Any:
        """Carry out commands; return what the session was shown last."""
        for command in asked:
            self.service.handle(session, command)
        return session.client.shown[-1] if session.client.shown else None

    def act(self, *asked: Command) -> Any:
        """Let the operator act; return the last answer."""
        return self.do(self.operator, *asked)

    def say(self, session: Session, room: str, *bodies: str) -> None:
        """Say something in a room; it is stored and shown by the end."""
        self.do(session, *(talk.Say(body, room=room) for body in bodies))
        self.service.journal.settle(session)

    def refused(self, session: Session, command: Command) -> str:
        """Return the code with which a command is refused."""
        with pytest.raises(Refusal) as refused:
            self.do(session, command)
        return refused.value.code

    def hold_until(self, room: Room, count: int) -> None:
        """Wait until so many have a room in hand, or wait for it."""
        while room.holds < count:
            gevent.sleep(0.001)  # of 0 the hub makes many before it looks at other threads

    def read(self, query: str) -> list:
        """Return the first column of what a query finds."""
        return self.database.read(lambda each: list(each.execute(text(query)).scalars()))

    def write(self, statement: str) -> None:
        self.database.write(lambda each: each.execute(text(statement)) and None)


def hash_quickly(patch: pytest.MonkeyPatch) -> None:
    """Let passwords be quick to look at."""
    patch.setattr(passwords, "_context", passwords._context.copy(**QUICK_HASHES))


@pytest.fixture
def new_house(tmp_path: Path, new_database: Path) -> Iterator[Callable[..., House]]:
    """Return what makes a house with settings; nobody waits long there, for a password or ever."""
    houses: list[House] = []

    def make(**settings: object) -> House:
        houses.append(House(tmp_path, new_database, **settings))
        return houses[-1]

    with pytest.MonkeyPatch.context() as patch, gevent.Timeout(WAIT_SECONDS_MAX):
        hash_quickly(patch)
        yield make
        for house in houses:
            house.close()


@pytest.fixture
def house(new_house: Callable[..., House]) -> House:
    return new_house()


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what makes something happen at the end of the test's next call of a method.

    Or at its beginning, with `first`. The service calls it for its upkeep, too: that is none.
    """
    test = gevent.getcurrent()

    def arrange(
        owner: object, name: str, act: Callable[[], object], *, first: bool = False
    ) -> None:
        method = getattr(owner, name)

        def interrupted(*arguments: object) -> object:
            if gevent.getcurrent() is not test:
                return method(*arguments)
            monkeypatch.setattr(owner, name, method)
            if first:
                act()
            answer = method(*arguments)
            if not first:
                act()
            return answer

        monkeypatch.setattr(owner, name, interrupted)

    return arrange
