"""What programs ask that encrypt from end to end, of devices, keys and mailboxes. Plain data.

They stand in the same table as those of app/commands.py, and nobody types them. What they bring is
public, or ciphertext; docs/encryption.md says what it means, and what clients make of it.
"""

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
from app.shapes import Command, NewTxn, command
from app.signed import AtFirst, DeviceId, KeyId, Line, Shape

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
    """What is said to a device."""

    body: Line


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
