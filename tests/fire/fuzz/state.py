"""What the model of a chat knows: accounts, seats, rooms, messages. Plain data, of one thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_network

from app.errors import BadNameError, Code
from app.protocol import talk
from app.protocol.accounts import Token
from app.protocol.command import Enc, Level
from app.protocol.devices import OfferedKey
from app.protocol.files import SharedFile
from app.protocol.moderation import Sanction, ServerSanction
from app.protocol.rooms import RoomRecord
from app.protocol.signed import Signed
from app.queries.audit import OPERATOR
from app.values.names import Name, parse_name
from app.values.networks import read_address

REPLAYED = 20  # messages on join
TICKET_MILLISECONDS = 600_000


class Refused(Exception):
    """What is asked is refused, with that code."""

    def __init__(self, code: Code, *, is_final: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.is_final = is_final


def check_reason(seconds: int | None, reason: str) -> None:
    """Refuse a reason that may be a mistyped time, where none is given."""
    word = reason.lstrip("+-~.\u2212\u2013\u2014\u00b1")
    if seconds is None and (
        (word[:1].isnumeric() and not word[:1].isalpha()) or word[:1] == "\u221e"
    ):
        raise Refused("bad_arguments")


def name_of(text: str) -> Name:
    """Return a name that is right. Raises Refused."""
    try:
        return parse_name(text)
    except BadNameError:
        raise Refused("bad_name") from None


@dataclass(eq=False)
class Account:
    """Somebody who can log in."""

    id: int
    name: Name
    password: str
    made_at: int
    is_admin: bool = False
    is_disabled: bool = False
    is_deleted: bool = False
    away: str | None = None
    ignored: set[str] = field(default_factory=set)
    tokens: list[Token] = field(default_factory=list)
    mail: list[talk.PrivateMessage] = field(default_factory=list)
    seats: list[Seat] = field(default_factory=list)
    devices: dict[str, Device] = field(default_factory=dict)
    manifests: int = 0  # lists of devices so far
    manifest: Signed | None = None  # the newest, and whom it lists
    listed: set[str] = field(default_factory=set)

    @property
    def shown(self) -> str:
        return self.name.shown


@dataclass(eq=False)
class Seat:
    """A client that is connected, and who has logged in on it; number 0 is the operator's."""

    number: int
    wire: str = "ndjson"
    address: str = "control socket"
    connected_at: int = 0
    account: Account | None = None
    rooms: list[Room] = field(default_factory=list)
    failures: int = 0
    is_closed: bool = False
    device: Device | None = None  # for which it speaks
    watched: set[str] = field(default_factory=set)  # whose devices it asked for

    @property
    def is_operator(self) -> bool:
        return self.number == 0

    @property
    def name(self) -> str:
        return OPERATOR if self.account is None else self.account.shown

    @property
    def level(self) -> Level:
        if self.is_operator:
            return Level.OPERATOR
        if self.account is None:
            return Level.ANYBODY
        return Level.ADMIN if self.account.is_admin else Level.USER

    @property
    def me(self) -> Account:
        assert self.account is not None
        return self.account

    @property
    def speaks_for(self) -> Device:
        assert self.device is not None
        return self.device


@dataclass(eq=False)
class Device:
    """A device of an account, with the keys that it left: those that nobody claimed, and others."""

    owner: Account
    id: str
    described: Signed
    is_approved: bool
    is_revoked: bool = False
    keys: dict[str, OfferedKey] = field(default_factory=dict)
    claimed: dict[str, OfferedKey] = field(default_factory=dict)
    fallback: OfferedKey | None = None
    is_fallback_unused: bool = False


@dataclass(eq=False)
class Letter:
    """What a device said to another; without a body, it was taken."""

    id: int
    sender: Device
    recipient: Device
    txn: str
    place: int
    body: str | None

    def is_same(self, sender: Device, txn: str, place: int) -> bool:
        """Whether it was sent before."""
        return (self.sender, self.txn, self.place) == (sender, txn, place)


@dataclass(eq=False)
class Message:
    """What was said, in a room or to one: a body, or what a device encrypted."""

    id: int
    author: Account
    body: str
    at: int
    is_action: bool = False
    room: Room | None = None
    recipient: Account | None = None
    device: str = ""
    enc: Enc | None = None


@dataclass(eq=False)
class Roster:
    """Who belongs to an encrypted room, there or not, as of a revision."""

    e2ee_from: int
    members: set[Account]
    rev: int = 1


@dataclass(eq=False)
class Room:
    """A room, and what holds there. Bans and mutes are by account."""

    name: Name
    owner: Account
    made_at: int
    topic: str = ""
    days: int | None = None
    moderators: set[Account] = field(default_factory=set)
    bans: dict[Account, Sanction] = field(default_factory=dict)
    mutes: dict[Account, Sanction] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    seats: list[Seat] = field(default_factory=list)
    is_deleted: bool = False
    head_id: int = 0  # up to which its messages are known where it is live
    roster: Roster | None = None  # of an encrypted one

    @property
    def shown(self) -> str:
        return self.name.shown

    @property
    def people(self) -> list[Account]:
        """Return who is there, by name."""
        return sorted({seat.me for seat in self.seats}, key=lambda each: each.shown.casefold())

    def role(self, account: Account | None) -> str:
        """Return the highest role that applies; of None, who is the operator."""
        if account is None:
            return "operator"
        if account.is_admin:
            return "admin"
        if account is self.owner:
            return "owner"
        return "moderator" if account in self.moderators else ""

    def away_of(self, account: Account, now: int) -> str | None:
        """Return why somebody is away, as it is shown here."""
        return account.away and ("" if in_force(self.mutes, account, now) else account.away)

    def said(self, message: Message) -> talk.Message:
        """Return how a message is shown."""
        author, body, at = message.author.shown, message.body, message.at
        if message.enc is not None:
            return talk.SaidEncrypted(
                self.shown, author, message.device, message.enc, at, message.id
            )
        return talk.Said(self.shown, author, body, at, message.is_action, message.id)

    def has_member(self, account: Account) -> bool:
        """Whether it is encrypted, and an account belongs to it."""
        return self.roster is not None and account in self.roster.members

    def replay(self, since: int | None) -> tuple[list[talk.Message], bool]:
        """Return what one who enters is shown, and whether that is all there is since then."""
        is_whole = since is None or since <= self.head_id
        if since is None or not is_whole:
            return [self.said(each) for each in self.messages[-REPLAYED:]], is_whole
        return [self.said(each) for each in self.messages if each.id > since], True


@dataclass(eq=False)
class File:
    """A file, of a room or for a recipient."""

    shared: SharedFile
    owner: Account
    data: bytes
    room: Room | None = None
    recipient: Account | None = None


@dataclass(eq=False)
class Ticket:
    """The right to bring a file, or to fetch `file`, until it is used, over or taken."""

    owner: Account
    expires_at: int
    name: str = ""
    size: int | None = None
    room: Room | None = None
    recipient: Account | None = None
    file: File | None = None
    e2ee: bool = False


def in_force(sanctions: dict[Account, Sanction], account: Account, now: int) -> bool:
    """Whether a ban or a mute of a room holds for an account."""
    found = sanctions.get(account)
    return found is not None and not found.is_over(now)


class ServerSanctions:
    """Bans from the whole server, or mutes on it: by account, or by network."""

    def __init__(self) -> None:
        self.by_key: dict[Account | str, ServerSanction] = {}

    def put(self, key: Account | str, sanction: ServerSanction) -> None:
        self.by_key.pop(key, None)
        self.by_key[key] = sanction

    def all(self, now: int) -> list[ServerSanction]:
        return [each for each in self.by_key.values() if not each.is_over(now)]

    def find(self, key: Account | str | None, now: int) -> ServerSanction | None:
        found = self.by_key.get(key) if key is not None else None
        return None if found is None or found.is_over(now) else found

    def around(self, address: str, now: int) -> list[ServerSanction]:
        return [each for each in self.all(now) if each.network and is_in(address, each.network)]

    def longest(
        self, account: Account | None, address: str | None, now: int
    ) -> ServerSanction | None:
        """Return that which holds for longest of an account, where it speaks from, or both."""
        found = list(self.around(address, now)) if address is not None else []
        found += [each for each in [self.find(account, now)] if each]
        return max(found, key=lambda each: (each.until is None, each.until or 0), default=None)


def is_in(address: str, network: str) -> bool:
    """Whether an address is in a network."""
    return read_address(address) in ip_network(network)


def room_record(room: Room) -> RoomRecord:
    """Return what admins are shown of a room."""
    shown, people = room.shown, len(room.people)
    owner = "" if room.owner.is_deleted else room.owner.shown
    is_encrypted = room.roster is not None
    return RoomRecord(shown, owner, people, room.topic, room.made_at, room.days, is_encrypted)
