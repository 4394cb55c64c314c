"""Changes to a live room by committed decisions: one function for each kind.

A live room equals the room that would be loaded from the database. Only these functions change its
rules, its roster, its name and its newest messages. None of them switches greenlets or raises
Refusal. The caller has committed the decision, and shows it to the room.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.engine.presence import Room
    from app.protocol.moderation import Sanction
    from app.protocol.talk import Message
    from app.queries.members import Roster
    from app.queries.rooms import SanctionKind
    from app.values.names import Name


def say(room: Room, said: Message) -> None:
    """Add a stored message."""
    room.recent.append(said)


def replace_messages(room: Room, newest: Iterable[Message]) -> None:
    """Replace the newest messages with those in the database: after a purge, or to load them."""
    room.recent.replace(newest)


def expire(room: Room, said_before: int) -> None:
    """Remove messages said before a time, in milliseconds UTC."""
    room.recent.forget_before(said_before)


def set_topic(room: Room, topic: str) -> None:
    """Set the topic; an empty one is none."""
    room.topic = topic


def promote(room: Room, user_id: int) -> None:
    """Add a moderator."""
    room.moderator_ids.add(user_id)


def demote(room: Room, user_id: int) -> None:
    """Remove a moderator, if the user is one."""
    room.moderator_ids.discard(user_id)


def sanction(room: Room, kind: SanctionKind, user_id: int, terms: Sanction) -> None:
    """Ban or mute a user; a banned moderator loses the role."""
    room.sanctions[kind][user_id] = terms
    if kind == "ban":
        demote(room, user_id)


def lift(room: Room, kind: SanctionKind, user_id: int) -> None:
    """End a ban or a mute, if there is one."""
    room.sanctions[kind].pop(user_id, None)


def drop_expired(room: Room, now: int) -> None:
    """Remove bans and mutes that ended by `now`, milliseconds UTC."""
    for kind, sanctions in room.sanctions.items():
        for user_id in [each for each, terms in sanctions.items() if terms.is_over(now)]:
            lift(room, kind, user_id)


def set_owner(room: Room, user_id: int) -> None:
    """Change the owner. They are then no moderator, and neither banned nor muted."""
    room.owner_id = user_id
    remove_account(room, user_id)


def remove_account(room: Room, user_id: int) -> None:
    """Remove the role and the sanctions of a user."""
    demote(room, user_id)
    for kind in room.sanctions:
        lift(room, kind, user_id)


def encrypt(room: Room, roster: Roster) -> None:
    """Make the room encrypted, with its first roster."""
    room.roster = roster


def add_member(room: Room, user_id: int, key: str) -> int:
    """Add a user to the roster, by their name's key; return its new revision."""
    roster = _roster(room)
    roster.members[user_id] = key
    roster.rev += 1
    return roster.rev


def remove_member(room: Room, user_id: int) -> int:
    """Remove a member from the roster; return its new revision."""
    roster = _roster(room)
    del roster.members[user_id]
    roster.rev += 1
    return roster.rev


def _roster(room: Room) -> Roster:
    assert room.roster is not None  # noqa: S101 (no room is ever decrypted)
    return room.roster


def rename(room: Room, name: Name) -> None:
    """Change the name; `rename_messages` follows when that is shown."""
    room.key, room.name = name.key, name.shown


def rename_messages(room: Room, name: str) -> None:
    """Change the room that the newest messages name. Those already shown stay as they are."""
    room.recent.rename(name)


def delete(room: Room) -> None:
    """Mark the room as deleted."""
    room.is_gone = True
