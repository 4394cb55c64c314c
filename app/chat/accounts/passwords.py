"""Hashing and checking passwords, on a native thread of its own: argon2id, through passlib.

One thread is a bound as well as a room of its own: each hash takes 19 MiB and 20 ms. Who wants one
waits for a turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gevent.threadpool import ThreadPool
from passlib.context import CryptContext

from app.bounds import PASSWORD_BYTES_MAX
from app.chat.accounts.fair_queue import Turns
from app.errors import BadLine
from app.values.names import parse_password

if TYPE_CHECKING:
    from app.engine.client import Client

# RFC 9106 and OWASP: the least memory that is recommended with two passes.
_context = CryptContext(
    schemes=["argon2"],
    argon2__type="id",
    argon2__memory_cost=19_456,  # KiB
    argon2__time_cost=2,
    argon2__parallelism=1,
)


def _is_short(password: str) -> bool:
    """Whether a password has few enough bytes for the rest of it to be looked at."""
    return len(password.encode(errors="surrogatepass")) <= PASSWORD_BYTES_MAX


def hash_password(password: str) -> str:
    """Return the hash to store of a password. Blocks for 20 ms. Raises ValueError if it is none."""
    return str(_context.hash(parse_password(password)))


def _hash_or_error(password: str) -> str | ValueError:
    """Return the error, if there is one: gevent would print what a thread of its pool raises."""
    try:
        return hash_password(password)
    except ValueError as error:
        return error


def _verify(password: str, password_hash: str | None) -> tuple[bool, str | None]:
    """Compare, in the same time whether or not there is a hash; see Hasher.verify."""
    if password_hash is None:
        _context.dummy_verify()
        return False, None
    try:
        is_right, new_hash = _context.verify_and_update(parse_password(password), password_hash)
    except (ValueError, TypeError):  # it can be no password, or what stands in the row is no hash
        _context.dummy_verify()
        return False, None
    return is_right, new_hash


class Hasher:
    """The hashing thread, and those who wait for it."""

    def __init__(self, waiting_max: int) -> None:
        self._pool = ThreadPool(1)
        self._turns = Turns(waiting_max)

    @property
    def waiting(self) -> int:
        """How many passwords wait for the thread, the one that it is at included."""
        return self._turns.waiting

    def hash(self, client: Client, password: str) -> str:
        """Return the hash of a password that is to be set. Switches.

        Raises BadLine when it can't be one, and Unavailable when busy.
        """
        if not _is_short(password):
            raise BadLine(f"a password has at most {PASSWORD_BYTES_MAX} bytes", code="bad_password")
        with self._turns.turn(client):
            hashed: str | ValueError = self._pool.apply(_hash_or_error, (password,))
        if isinstance(hashed, ValueError):
            raise BadLine(str(hashed), code="bad_password") from hashed
        return hashed

    def verify(
        self, client: Client, password: str, stored: Callable[[], str | None]
    ) -> tuple[bool, str | None]:
        """Say whether the password is right, and the hash to store instead, if any.

        `stored` returns the hash that it has to match. It is asked when it is the client's turn,
        lest all others wait for the database behind those who wait here. No hash, an odd hash and
        an odd password are all simply wrong. Switches. Raises Unavailable when busy.
        """
        with self._turns.turn(client):
            password_hash = stored()
            if not _is_short(password):
                password, password_hash = "", None
            verdict: tuple[bool, str | None] = self._pool.apply(_verify, (password, password_hash))
        return verdict

    def close(self) -> None:
        """End the thread; nobody waits for it any more."""
        self._pool.kill()
