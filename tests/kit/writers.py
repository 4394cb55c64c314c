"""Two writers on one PostgreSQL, each a database with a thread of its own, as two servers are."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from sqlalchemy import Connection, insert

from app.chat.devices.mail import DeviceMail
from app.database import postgresql
from app.database.database import Database
from app.database.tables import Device
from app.protocol.devices import DeviceSend, Letter, OfferedKey
from app.protocol.signed import Signed
from app.queries import accounts, devices, rooms
from app.queries.messages import NewMessage
from app.queries.rooms import NewSanction
from app.queries.sanctions import NewServerSanction
from app.values.names import parse_name
from tests.kit.client import WAIT_SECONDS_MAX
from tests.kit.fakes import fake_session
from tests.kit.postgresql import Postgresql

Work = Callable[[Connection], Any]
BAN = NewSanction("ban", 0, 0, None, "", 1, None)
SERVER_BAN = NewServerSanction("ban", None, None, None, "", 1, None)
SAID = Signed.model_construct(payload="{}", sig="-")
_numbers = count(1)
_BLOCKS = "SELECT pg_backend_pid() = ANY(pg_blocking_pids({}))"


class Writers:
    """Two databases that write to one PostgreSQL, and what is in it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.both = [self._open(), self._open()]
        self._pids = [each.write(_pid) for each in self.both]

    def _open(self) -> Database:
        """Open one more, with a right to write of its own: one server alone has the usual one."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(postgresql, "WRITING", next(_numbers) + 10)
            database = Database(self._url, "normal")
            database.write(_pid)  # it connects now
        return database

    @contextmanager
    def another(self) -> Iterator[Database]:
        """Give a third writer, which ends."""
        database = self._open()
        yield database
        database.close()

    def close(self) -> None:
        for database in self.both:
            database.close()

    def write(self, work: Work) -> Any:
        """Write by the first one, and nobody else does."""
        return self.both[0].write(work)

    def run(self, *works: Work) -> list[Any]:
        """Run a work in each writer at once; return the outcomes, errors among them."""
        barrier = threading.Barrier(len(works))

        def at_once(work: Work) -> Work:
            return lambda connection: (barrier.wait(WAIT_SECONDS_MAX), work(connection))[1]

        return self._outcomes([at_once(work) for work in works])

    def amid(self, first: Work, second: Work, look: Work | None = None) -> list[Any]:
        """Run `first`, and before it is committed `second` in the other writer; return outcomes.

        The first is committed when the second waits for it, or is committed. If it waits, `look`
        is called before, and what it returns is the third outcome. Else that is None.
        """
        has_begun, is_over = threading.Event(), threading.Event()
        looked = []

        def begin(connection: Connection) -> Any:
            try:
                result = first(connection)
            finally:
                has_begun.set()
            blocks = _BLOCKS.format(self._pids[1])
            while not is_over.is_set():
                if connection.exec_driver_sql(blocks).scalar():
                    looked.append(look(connection) if look else True)
                    break
            return result

        def follow(connection: Connection) -> Any:
            assert has_begun.wait(WAIT_SECONDS_MAX)
            return second(connection)

        outcomes = self._outcomes([begin, follow], is_over)
        return [*outcomes, looked[0] if looked else None]

    def _outcomes(self, works: list[Work], second_is_over: threading.Event | None = None) -> Any:
        def attempt(database: Database, work: Work) -> Any:
            try:
                return database.write(work)
            except Exception as error:  # noqa: BLE001 (the test looks at it)
                return error
            finally:
                if second_is_over and database is self.both[1]:
                    second_is_over.set()

        with gevent.Timeout(WAIT_SECONDS_MAX):
            asked = [gevent.spawn(attempt, *each) for each in zip(self.both, works, strict=False)]
            gevent.joinall(asked)
        return [each.value for each in asked]

    # What there is in the database.

    def user(self) -> int:
        """Make an account."""
        name = parse_name(f"user{next(_numbers)}")
        return self.write(lambda each: accounts.create(each, name, "-", 1)).id

    def room(self, owner_id: int) -> int:
        return self.write(lambda each: make_room(each, owner_id)).id

    def device(self, user_id: int) -> int:
        """Make a device, as if its user had listed it."""
        name = f"device{next(_numbers)}"
        row = {"device_id": name, "ed25519": name, "curve25519": name, "payload": "{}", "sig": "-"}
        times = {"made_at": 1, "seen_at": 1, "approved_at": 1}
        statement = insert(Device).values(user_id=user_id, **row, **times)
        return self.write(lambda each: each.execute(statement).inserted_primary_key[0])

    def address(self, device: int) -> devices.Address:
        return self.write(
            lambda each: each.exec_driver_sql(
                "SELECT users.key, device_id FROM devices JOIN users ON users.id = user_id"
                f" WHERE devices.id = {device}"
            ).one()
        )

    def find(self, query: str) -> list[Any]:
        """Return the first column of what a query finds."""
        return self.write(lambda each: list(each.exec_driver_sql(query).scalars()))


def _pid(connection: Connection) -> Any:
    return connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()


def make_room(connection: Connection, owner_id: int) -> rooms.StoredRoom:
    """Make a room, as the service does."""
    return rooms.create(connection, parse_name(f"room{next(_numbers)}"), owner_id, 1)


def refusals(outcomes: list[Any]) -> list[Any]:
    """Return the errors among outcomes."""
    return [each for each in outcomes if isinstance(each, Exception)]


def said(room_id: int | None, user_id: int, txn: str | None = None, to: int | None = None) -> Any:
    """Return a message to a room or a user."""
    return NewMessage(room_id, to, user_id, False, "hello", 1, txn)


def keys(*kids: str) -> dict[str, OfferedKey]:
    """Return keys that say nothing."""
    return {kid: OfferedKey.model_construct(kid=kid, payload=kid, sig="-") for kid in kids}


def sending(sender: int, to: devices.Address, txn: str) -> Work:
    """Return what a device does that sends mail."""

    def work(connection: Connection) -> Any:
        database = SimpleNamespace(write=lambda work: work(connection))
        kit = SimpleNamespace(database=database, clock=lambda: 1)
        session = fake_session("alice")
        session.device = devices.KnownDevice(sender, "", "")
        letter = Letter.model_construct(user=to[0], device=to[1], body="hello")
        mail = DeviceMail(kit, SimpleNamespace(tell=lambda *_: None))
        mail.send(session, DeviceSend(txn, [letter]))
        return [each.error for each in session.client.shown[-1].failed]

    return work


@pytest.fixture(scope="module")
def writers(postgres: Postgresql) -> Iterator[Writers]:
    """Two writers on a database without a row."""
    writers = Writers(postgres.make(f"written{next(_numbers)}", "TEMPLATE migrated"))
    yield writers
    writers.close()
