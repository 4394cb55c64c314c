"""Hashing and checking passwords, in one native thread: argon2id, through passlib.

The one thread is also a bound: each hash takes 19 MiB and 20 ms. Clients wait for a turn at it.
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
    """Whether a password is short enough to be looked at."""
    return len(password.encode(errors="surrogatepass")) <= PASSWORD_BYTES_MAX


def hash_password(password: str) -> str:
    """Return a password's hash. Blocks for 20 ms. Raises ValueError if it can't be a password."""
    return str(_context.hash(parse_password(password)))


def _hash_or_error(password: str) -> str | ValueError:
    """Return the hash, or its error: gevent prints an error that is raised in a pool's thread."""
    try:
        return hash_password(password)
    except ValueError as error:
        return error


def _verify(password: str, password_hash: str | None) -> tuple[bool, str | None]:
    """Compare, in the same time with a hash or without; see Hasher.verify."""
    if password_hash is None:
        _context.dummy_verify()
        return False, None
    try:
        is_right, new_hash = _context.verify_and_update(parse_password(password), password_hash)
    except (ValueError, TypeError):  # it can be no password, or the stored text is no hash
        _context.dummy_verify()
        return False, None
    return is_right, new_hash


class Hasher:
    """The hashing thread, and the queue for it."""

    def __init__(self, waiting_max: int) -> None:
        self._pool = ThreadPool(1)
        self._turns = Turns(waiting_max)

    @property
    def waiting(self) -> int:
        """The number of passwords at the thread, waiting or being hashed."""
        return self._turns.waiting

    def hash(self, client: Client, password: str) -> str:
        """Return the hash of a new password. Switches.

        Raises BadLine when it can't be a password, and Unavailable when busy.
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
        """Return whether the password is right, and a new hash to store or None.

        `stored` returns the hash that it has to match. It is called at the client's turn, so that
        clients in the queue do not keep the database waiting. Without a hash, or with an odd hash
        or password, the password is wrong. Switches. Raises Unavailable when busy.
        """
        with self._turns.turn(client):
            password_hash = stored()
            if not _is_short(password):
                password, password_hash = "", None
            verdict: tuple[bool, str | None] = self._pool.apply(_verify, (password, password_hash))
        return verdict

    def close(self) -> None:
        """End the thread. Call it when no client waits for it any more."""
        self._pool.kill()
