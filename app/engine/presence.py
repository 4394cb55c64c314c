"""Connected users, and the live rooms that they are in. Knows no socket and no format.

A `Session` is one login at work. A `User` is the account behind one or several of them. A `Room` is
live while a session is in it, or a request holds it. Who is in it changes as the journal releases
arrivals and departures.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Set
from typing import TYPE_CHECKING

from gevent.event import Event as Signal
from gevent.lock import RLock

from app.errors import Forbidden, NotPossible, Remedy
from app.protocol import moderation
from app.protocol.command import Level
from app.queries import audit
from app.queries.rooms import SanctionKind, StoredRoom
from app.values.names import parse_name

if TYPE_CHECKING:
    from app.engine.client import Client, Render, Send
    from app.engine.live import LiveRooms
    from app.engine.recent import Recent
    from app.protocol.moderation import ServerSanction
    from app.queries.devices import KnownDevice
    from app.values.names import Name


class User:
    """An account that has sessions. An account has one such object at a time."""

    __slots__ = (
        "away",
        "has_mail",
        "id",
        "ignored",
        "is_admin",
        "name",
        "sessions",
        "shown_early_id",
    )

    def __init__(self, user_id: int, name: str, ignored: set[str]) -> None:
        self.id = user_id
        self.name = name
        self.is_admin = False
        self.ignored = ignored  # names
        self.sessions: set[Session] = set()
        self.away: str | None = None
        self.has_mail = False  # private messages that no session may have been shown yet
        self.shown_early_id = 0  # of the newest one that was shown while there were older ones

    @property
    def account_id(self) -> int | None:
        """The user's id for the database's record of decisions; None for the operator."""
        return self.id or None


# The user at the control socket: no account, and no account can have that name.
OPERATOR = User(0, audit.OPERATOR, set())
OPERATOR.is_admin = True

NOBODY: Set[str] = frozenset()  # one for all: each empty set takes 216 bytes


class Session:
    """One client, from connect to close; `user` is None until login."""

    __slots__ = (
        "client",
        "device",
        "ignored",
        "login_failures",
        "mute",
        "number",
        "rooms",
        "settled",
        "tag",
        "unreleased",
        "user",
        "was_sent_away",
        "watched",
    )

    def __init__(self, client: Client, number: int = 0) -> None:
        self.client = client
        self.number = number  # by which admins tell sessions apart
        self.user: User | None = None
        self.device: KnownDevice | None = None  # for which it speaks, after keys.device.put
        # Keys of the users whose devices it has asked for; None stands for all users.
        self.watched: Set[str] | None = NOBODY
        self.rooms: dict[str, Room] = {}  # where it is a reader, by key
        self.tag = ""  # given back by the wire with the answer to the current request
        self.ignored: Set[str] = NOBODY  # its user's own set, after login
        self.mute: ServerSanction | None = None  # on the whole server; it may be over by now
        self.login_failures = 0
        self.was_sent_away = False  # the server ended it
        self.unreleased = 0  # entries in the journal that this session made
        self.settled: Signal | None = None  # set when there are none left

    @property
    def has_ended(self) -> bool:
        """Whether it has logged in and ended since: it enters no room any more."""
        return self not in self.speaker.sessions

    @property
    def is_operator(self) -> bool:
        """Whether it is the control socket's: it is in no room, and may act in all of them."""
        return self.user is OPERATOR

    @property
    def level(self) -> Level:
        """The level of its rights."""
        if self.user is None:
            return Level.ANYBODY
        if self.user is OPERATOR:
            return Level.OPERATOR
        return Level.ADMIN if self.user.is_admin else Level.USER

    @property
    def speaker(self) -> User:
        """The user who is logged in. Raises NotPossible before login."""
        if self.user is None:
            raise NotPossible("log in first", code="login_required", remedy=Remedy("login"))
        return self.user

    @property
    def device_or_refuse(self) -> KnownDevice:
        """The device that the session speaks for. Raises NotPossible when there is none."""
        if self.device is None:
            raise no_device()
        return self.device

    def check_is_here(self) -> None:
        """Raise NotPossible when it was ended: then its request has no effect."""
        if self.client.is_closing or (self.user is OPERATOR and self.client.is_gone):
            raise sent_out()

    def check_is_in(self, room: Room) -> None:
        """Raise NotPossible when it is no longer in a room. Call it after a switch."""
        if self.rooms.get(room.key) is not room:
            raise NotPossible(f"you are not in {room.name} any more", code="no_room")

    def check_is_admin(self) -> None:
        """Raise Refusal when it was ended, or its user is no admin."""
        self.check_is_here()
        if not self.speaker.is_admin:
            raise only_for_admins()

    def check_may_speak(self, now: int, room: Room | None = None) -> None:
        """Raise Refusal when it was ended, or its user is muted.

        It goes before all acts that show others a text of its user: messages, and also reasons,
        topics and names.
        """
        self.check_is_here()
        self.check_is_not_muted(now, room)

    def check_was_not_sent_away(self) -> None:
        """Raise NotPossible when the server ended it; it may have ended by itself."""
        if self.was_sent_away:
            raise sent_out()

    def check_is_not_muted(self, now: int, room: Room | None = None) -> None:
        """Raise Forbidden when its user is muted: on the server, or in the room."""
        if self.mute is not None and not self.mute.is_over(now):
            raise Forbidden(f"you are muted on this server{self.mute.terms}", code="muted")
        if room is not None:
            room.check_may_speak(self.speaker, now)

    def room_or_refuse(self, name: str = "") -> Room:
        """Return the session's room of that name, or its only one. Raises Refusal."""
        if name:
            room = self.rooms.get(parse_name(name).key)
            if room is None:
                raise NotPossible(f"you are not in {name}; join it first", code="no_room")
            return room
        if len(self.rooms) == 1:
            (room,) = self.rooms.values()
            return room
        if not self.rooms:
            raise NotPossible("join a room first", code="no_room", remedy=Remedy("join"))
        raise NotPossible("you are in several rooms; say in which one", code="which_room")


class Room:
    """A live room. Roles, bans and mutes are by user id, as they are in the database."""

    def __init__(self, key: str, stored: StoredRoom, recent: Recent, head_id: int = 0) -> None:
        self.key = key
        self.head_id = head_id  # up to which its messages were released
        self.id = stored.id
        self.name = stored.name
        self.topic = stored.topic
        self.owner_id = stored.owner_id
        self.moderator_ids = stored.moderator_ids
        self.sanctions = stored.sanctions
        self.recent = recent
        self.present: dict[User, int] = {}  # the number of each user's sessions
        self.names: list[str] = []  # of those present, in order
        self.live: LiveRooms | None = None  # among which it stands
        self.readers: dict[Render, dict[Session, Send]] = {}
        self.is_lagging = False  # most readers had not read all of it before the last batch
        self.holds = 0  # by requests to enter it or decide about it: see Rooms.holding
        self.deciding = RLock()
        self.is_gone = False  # it was deleted, and another may have its name
        self.roster = stored.roster  # its members, if it is encrypted
        self.is_being_encrypted = False  # it has no roster yet, and messages are refused
        self.leaving: set[int] = set()  # ids of members who are about to leave the roster

    @property
    def is_deserted(self) -> bool:
        """Whether all sessions left, and no request holds it."""
        return not (self.present or self.holds)

    def role_of(self, user_id: int, *, is_admin: bool = False) -> str:
        """Return the user's highest role here: "admin", "owner", "moderator" or ""."""
        if is_admin:
            return "admin"
        if user_id == self.owner_id:
            return "owner"
        return "moderator" if user_id in self.moderator_ids else ""

    def sanction(self, kind: SanctionKind, user_id: int, now: int) -> moderation.Sanction | None:
        """Return the ban or mute in force on a user."""
        sanction = self.sanctions[kind].get(user_id)
        return None if sanction is None or sanction.is_over(now) else sanction

    def forget_user(self, user_id: int) -> None:
        """Remove a user's role and sanctions."""
        self.moderator_ids.discard(user_id)
        for in_force in self.sanctions.values():
            in_force.pop(user_id, None)

    def check_is_there(self) -> None:
        """Raise NotPossible when the room was deleted."""
        if self.is_gone:
            raise NotPossible(f"there is no room {self.name}", code="no_such_room")

    def check_may_enter(self, user: User, now: int) -> None:
        """Raise Forbidden when the user is banned, NotPossible if it is deleted."""
        self.check_is_there()
        ban = self.sanction("ban", user.id, now)
        if ban is not None:
            raise Forbidden(f"you are banned from {self.name}{ban.terms}", code="banned")

    def check_may_speak(self, user: User, now: int) -> None:
        """Raise Forbidden when the user is muted."""
        mute = self.sanction("mute", user.id, now)
        if mute is not None:
            raise Forbidden(f"you are muted in {self.name}{mute.terms}", code="muted")

    def away_of(self, user: User, now: int) -> str | None:
        """Return a user's away note: "" when muted here, None when not away."""
        return user.away and ("" if self.sanction("mute", user.id, now) else user.away)

    @property
    def is_encrypted(self) -> bool:
        """Whether messages in the clear are refused."""
        return self.roster is not None or self.is_being_encrypted

    def check_takes_plaintext(self) -> None:
        """Raise Forbidden when the room is encrypted."""
        if self.is_encrypted:
            raise Forbidden(
                f"{self.name} is encrypted; open it with: manage.py chat", code="e2ee_required"
            )

    def lacks(self, user: User) -> bool:
        """Whether a user must become a member to enter."""
        if self.roster is None:
            return self.is_being_encrypted
        return user.id not in self.roster.members or user.id in self.leaving

    def has_member(self, user_id: int) -> bool:
        """Whether a user is a member: only encrypted rooms have any."""
        return self.roster is not None and user_id in self.roster.members

    def sessions_of(self, user_id: int | None = None) -> list[Session]:
        """Return the sessions of a user in the room, or of all."""
        return [
            session
            for sessions in self.readers.values()
            for session in sessions
            if user_id is None or session.speaker.id == user_id
        ]

    def is_in(self, user_id: int) -> bool:
        """Whether a user has a session in the room."""
        return any(user.id == user_id for user in self.present)

    def take(self, session: Session) -> bool:
        """Make a session a reader; return whether it is its user's first one."""
        user, client = session.speaker, session.client
        session.rooms[self.key] = self
        self.readers.setdefault(client.render, {})[session] = client.send
        self.present[user] = self.present.get(user, 0) + 1
        if self.present[user] > 1:
            return False
        insort(self.names, user.name, key=str.casefold)
        self.note_rank()
        return True

    def drop(self, session: Session) -> bool:
        """Make a session a reader no longer; return whether it was its user's last one."""
        user, render = session.speaker, session.client.render
        del session.rooms[self.key], self.readers[render][session]
        if not self.readers[render]:
            del self.readers[render]
        self.present[user] -= 1
        if self.present[user]:
            return False
        del self.present[user]
        del self.names[bisect_left(self.names, user.name.casefold(), key=str.casefold)]
        self.note_rank()
        return True

    def note_rank(self) -> None:
        """Update its rank among rooms, after a change of users or name."""
        if self.live is not None:
            self.live.note_rank(self)

    def rename(self, name: Name) -> None:
        """Change the name. The newest messages get it, too: those already shown stay."""
        sessions = self.sessions_of()
        for session in sessions:
            del session.rooms[self.key]
        if self.live is not None:
            self.live.rename(self, name)
        else:
            self.key, self.name = name.key, name.shown
        for session in sessions:
            session.rooms[self.key] = self
        self.recent.rename(self.name)

    def forget_if_deserted(self) -> None:
        """Be live no longer, unless somebody is here or holds it."""
        if self.is_deserted and self.live is not None:
            self.live.remove(self)


def sent_out() -> NotPossible:
    """Return the refusal of a request of an ended session."""
    return NotPossible("you were sent away meanwhile", code="sent_out")


def only_for_admins() -> Forbidden:
    """Return the refusal of a user who is no admin."""
    return Forbidden("only admins may do that", code="not_allowed")


def already_there(room: Room) -> NotPossible:
    """Return the refusal of entering a room twice."""
    return NotPossible(f"you are in {room.name} already", code="already_there")


def no_device() -> NotPossible:
    """Return the refusal of a request without a device."""
    return NotPossible(
        "say first for which device you speak", code="no_device", remedy=Remedy("device")
    )


def not_encrypted(room: Room) -> NotPossible:
    """Return the refusal of ciphertext in a room without encryption."""
    return NotPossible(f"{room.name} is not encrypted", code="not_e2ee", remedy=Remedy("encrypt"))
