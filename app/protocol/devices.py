"""Devices that encrypt: their keys, and mail between them. For programs alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le, MaxLen

from app.bounds import (
    DEVICE_MAIL_FETCHED_MAX,
    DEVICE_PAYLOAD_CHARS_MAX,
    ID_MAX,
    KEY_PAYLOAD_CHARS_MAX,
    MANIFEST_PAYLOAD_CHARS_MAX,
    SIGNATURE_CHARS_MAX,
)
from app.errors import Code
from app.protocol.command import (
    Command,
    NewTxn,
    command,
)
from app.protocol.event import Answer, Event
from app.protocol.signed import AtFirst, DeviceId, KeyId, Line, Shape, Signed

Signature = Annotated[str, MaxLen(SIGNATURE_CHARS_MAX)]
Position = Annotated[int, Ge(0), Le(ID_MAX)]


class OfferedKey(Shape):
    """A one-time or fallback key, signed by its device."""

    kid: KeyId
    payload: Annotated[Line, MaxLen(KEY_PAYLOAD_CHARS_MAX)]
    sig: Signature


class Target(Shape):
    """A device of a user."""

    user: str
    device: DeviceId


class Letter(Target):
    """A message to a device."""

    body: Line


@dataclass(frozen=True, slots=True)
class UserDevices:
    """A user's list of devices, or None, and the devices' own descriptions."""

    manifest: Signed | None
    devices: Sequence[Signed]


@dataclass(frozen=True, slots=True)
class ClaimedKey:
    """A key to begin a conversation with a device."""

    user: str
    device: str
    key: Signed


@dataclass(frozen=True, slots=True)
class OutOfReach:
    """A device for which nothing could be done, and why."""

    user: str
    device: str
    error: Code


@dataclass(frozen=True, slots=True)
class DeviceMail:
    """A message from another device to the reader's; `n` rises from item to item."""

    n: int
    user: str
    device: str
    body: str


@command
class DevicePut(Command):
    """Make a device of yours known, or say that this session speaks for it."""

    word = "keys.device.put"
    is_typed = False
    payload: Annotated[Line, MaxLen(DEVICE_PAYLOAD_CHARS_MAX)]
    sig: Signature


@command
class ManifestPut(Command):
    """Publish the list of your devices, after the last one."""

    word = "keys.manifest.put"
    is_typed = False
    may_be_long = True
    payload: Annotated[Line, MaxLen(MANIFEST_PAYLOAD_CHARS_MAX)]
    sig: Signature


@command
class KeysPut(Command):
    """Leave keys to begin conversations with this device; without any, ask how many there are."""

    word = "keys.otk.put"
    is_typed = False
    may_be_long = True
    otk: Annotated[list[OfferedKey], AtFirst]
    fallback: OfferedKey | None = None


@command
class KeysQuery(Command):
    """Show the devices of users, and tell this session when they change."""

    word = "keys.query"
    is_typed = False
    may_be_long = True
    users: Annotated[list[str], AtFirst]


@command
class KeysClaim(Command):
    """Get a key for each of these devices, to begin a conversation with."""

    word = "keys.claim"
    is_typed = False
    may_be_long = True
    targets: Annotated[list[Target], AtFirst]


@command
class KeysChanges(Command):
    """Show whose devices have changed since a position; without one, the newest position."""

    word = "keys.changes"
    is_typed = False
    since: Position | None = None


@command
class DeviceSend(Command):
    """Say something to devices, each of which finds it in its mailbox."""

    word = "td.send"
    is_typed = False
    may_be_long = True
    txn: NewTxn
    msgs: Annotated[list[Letter], AtFirst]


@command
class DeviceFetch(Command):
    """Show what is in the mailbox of this device, after a position."""

    word = "td.fetch"
    is_typed = False
    after: Position = 0
    limit: Annotated[int, Ge(1), Le(DEVICE_MAIL_FETCHED_MAX)] = DEVICE_MAIL_FETCHED_MAX


@command
class DeviceAck(Command):
    """Let go of what is in the mailbox of this device, up to a position."""

    word = "td.ack"
    is_typed = False
    upto: Position


@dataclass(slots=True)
class DeviceKnown(Answer):
    """The session speaks for a device from now on."""


@dataclass(slots=True)
class KeysKept(Answer):
    """The device's number of unclaimed keys, and whether its fallback is unused."""

    otk_count: int
    fallback_unused: bool


@dataclass(slots=True)
class DevicesShown(Answer):
    """The devices of users, as they describe themselves; by the names that were asked for."""

    users: Mapping[str, UserDevices]


@dataclass(slots=True)
class KeysHandedOut(Answer):
    """A key of each device, except those that `failed`."""

    keys: Sequence[ClaimedKey]
    failed: Sequence[OutOfReach]


@dataclass(slots=True)
class DeviceChangesListed(Answer):
    """The users whose devices changed, and the next position to ask from."""

    users: Sequence[str]
    next: int


@dataclass(slots=True)
class DeviceMailSent(Answer):
    """The messages are in their mailboxes, except those that `failed`."""

    failed: Sequence[OutOfReach]


@dataclass(slots=True)
class DeviceMailShown(Answer):
    """The mail of the session's device, oldest first."""

    items: Sequence[DeviceMail]
    has_more: bool


@dataclass(slots=True)
class DeviceMailCame(Event):
    """There is mail in the mailbox of the session's device."""


@dataclass(slots=True)
class KeysLow(Event):
    """The session's device should leave more keys here."""


@dataclass(slots=True)
class DevicesChanged(Event):
    """The lists of these users' devices have changed."""

    users: Sequence[str]
