"""What clients are told that encrypt from end to end: of devices, keys and mailboxes. Plain data.

They are like those of app/events.py, and shown to programs alone: no other has a device.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.events import Answer, Event
from app.records import ClaimedKey, DeviceMail, OutOfReach, UserDevices


@dataclass(slots=True)
class DeviceKnown(Answer):
    """The session speaks for a device of its user from now on."""


@dataclass(slots=True)
class KeysKept(Answer):
    """How many keys of the session's device nobody has claimed, and whether one is in reserve."""

    otk_count: int
    fallback_unused: bool


@dataclass(slots=True)
class DevicesShown(Answer):
    """Which devices users have, as they say themselves; by the names that were asked for."""

    users: Mapping[str, UserDevices]


@dataclass(slots=True)
class KeysHandedOut(Answer):
    """A key of each device, but for those that `failed`."""

    keys: Sequence[ClaimedKey]
    failed: Sequence[OutOfReach]


@dataclass(slots=True)
class DeviceChangesListed(Answer):
    """Whose devices changed since a position, and the position to ask from next."""

    users: Sequence[str]
    next: int


@dataclass(slots=True)
class DeviceMailSent(Answer):
    """What was said to devices is in their mailboxes, but for those that `failed`."""

    failed: Sequence[OutOfReach]


@dataclass(slots=True)
class DeviceMailShown(Answer):
    """What is in the mailbox of the session's device, oldest first."""

    items: Sequence[DeviceMail]
    has_more: bool


@dataclass(slots=True)
class DeviceMailCame(Event):
    """There is something in the mailbox of the session's device."""


@dataclass(slots=True)
class KeysLow(Event):
    """The session's device should leave more keys here."""


@dataclass(slots=True)
class DevicesChanged(Event):
    """The lists of these users' devices are other ones now."""

    users: Sequence[str]
