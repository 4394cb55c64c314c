"""Facts: what decisions did, as the log of a room or of the server has it.

A fact is written in the transaction of its decision. It takes effect where the journal releases it,
at one place among the messages, and no earlier. No method here switches greenlets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from app.queries import facts as logs

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.engine.delivery import Delivery


class Stream(Protocol):
    """What has a log: a room, or the server, whose id is None."""

    id: Any


@dataclass(slots=True)
class Fact:
    """What a decision did: plain data."""

    def record(self, connection: Connection, stream_id: int | None, now: int) -> None:
        """Append it to a log, in the decision's transaction."""
        data = json.dumps(asdict(self))
        logs.append(connection, stream_id, type(self).__name__, data, now)

    def apply(self, stream: Any) -> None:
        """Change the memory of the room or the server."""
        raise NotImplementedError

    def release(self, stream: Any, _delivery: Delivery) -> None:
        """Take effect, and be shown to those who are there."""
        self.apply(stream)


def read(logged: logs.Logged) -> Fact:
    """Return a fact from its log."""
    return dict(_kinds(Fact))[logged.kind](**json.loads(logged.data))


def _kinds(kind: type[Fact]) -> Iterator[tuple[str, type[Fact]]]:
    for each in kind.__subclasses__():
        yield each.__name__, each
        yield from _kinds(each)
