"""The tools of the service's parts; the type of their commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import TYPE_CHECKING, Any, NamedTuple

from app.protocol.event import Event

if TYPE_CHECKING:
    from app.database.database import Database
    from app.engine.client import Clock, Visitor
    from app.engine.decisions import Acts
    from app.engine.journal import Journal
    from app.engine.presence import Session
    from app.protocol.command import Command
    from app.settings import Settings

End = Callable[["Session", Event], None]  # shows a last event, and ends; never switches
Handler = Callable[["Session", Any], None]
Handlers = Mapping[type["Command"], Handler]


class Present(NamedTuple):
    """The connected clients: sessions, and visitors that speak HTTP."""

    sessions: Set[Session]
    visitors: Set[Visitor]


class Kit(NamedTuple):
    """The tools that all parts of one service share."""

    database: Database
    journal: Journal
    clock: Clock
    acts: Acts
    settings: Settings
    present: Present
    end: End  # a session of any user
