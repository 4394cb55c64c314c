"""Mailboxes of devices: their messages to each other, which we carry and can't read.

An item is in its mailbox, on the disk, before its sender is told so. It stays until its recipient
acknowledges it, or its time is over. Sent again under its `txn` it is not there twice.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from app.bounds import (
    DEVICE_MAIL_AT_ONCE_MAX,
    DEVICE_MAIL_BODY_CHARS_MAX,
    DEVICE_MAIL_CHARS_MAX,
    DEVICE_MAIL_SENDS_A_MINUTE_MAX,
)
from app.chat.devices.devices import addresses_of, check_rate, too_many, user_key
from app.engine.limits import Throttle
from app.engine.presence import no_device
from app.errors import Code, TooLarge
from app.protocol import devices as protocol
from app.protocol.devices import OutOfReach
from app.queries import device_mail as queries
from app.queries import devices as devices_queries
from app.queries import locks
from app.queries.device_mail import Item

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.chat.devices.devices import Devices
    from app.engine.kit import Handlers, Kit
    from app.engine.presence import Session
    from app.protocol.devices import Letter
    from app.queries.devices import DeviceRow


class _Sent(NamedTuple):
    """The recipients with new mail, and the failures by their place."""

    recipients: Collection[DeviceRow]
    failed: dict[int, Code]


class DeviceMail:
    """The mailboxes of all devices."""

    def __init__(self, kit: Kit, devices: Devices) -> None:
        self._database, self._clock = kit.database, kit.clock
        self._devices = devices
        self._sends = Throttle(DEVICE_MAIL_SENDS_A_MINUTE_MAX, seconds=60)

    def handlers(self) -> Handlers:
        """Return the method that carries out each command."""
        return {
            protocol.DeviceSend: self.send,
            protocol.DeviceFetch: self.fetch,
            protocol.DeviceAck: self.let_go,
        }

    def send(self, session: Session, command: protocol.DeviceSend) -> None:
        """Put items into mailboxes, and tell their recipients. Switches. Raises Refusal."""
        sender, letters = session.device_or_refuse, command.msgs
        _check_size(letters)
        check_rate(self._sends, session)
        addresses, now, own = addresses_of(letters), self._clock(), user_key(session.speaker.name)
        if any(key != own for key, _ in addresses):
            session.check_may_speak(now)

        def work(connection: Connection) -> _Sent | None:
            locks.lock(connection, users=devices_queries.owners(addresses, sender.id))
            if not devices_queries.is_active(connection, sender.id):
                return None
            found = devices_queries.active(connection, addresses)
            rows = [found.get(address) for address in addresses]
            items = [
                Item(place, row.id, letters[place].body) for place, row in enumerate(rows) if row
            ]
            got, full = queries.put(connection, sender.id, command.txn, items, now)
            failed: dict[int, Code] = {}
            for place, row in enumerate(rows):
                if row is None:
                    failed[place] = "no_such_device"
                elif place in full:
                    failed[place] = "mailbox_full"
            return _Sent([row for row in found.values() if row.id in got], failed)

        sent = self._database.write(work)
        if sent is None:
            raise no_device()
        for recipient in sent.recipients:
            self._devices.tell(recipient, protocol.DeviceMailCame())
        session.client.show(
            protocol.DeviceMailSent(
                [
                    OutOfReach(letters[place].user, letters[place].device, error)
                    for place, error in sent.failed.items()
                ]
            )
        )

    def fetch(self, session: Session, command: protocol.DeviceFetch) -> None:
        """Show a device's mail. Switches. Raises Refusal.

        When an answer would be too long, the device is told of the rest as of new mail.
        """
        device = session.device_or_refuse
        items, has_more = self._database.read(
            lambda connection: queries.fetch(connection, device.id, command.after, command.limit)
        )
        session.client.show_at_leisure(protocol.DeviceMailShown(items, has_more))
        if has_more and len(items) < command.limit:
            session.client.show(protocol.DeviceMailCame())

    def let_go(self, session: Session, command: protocol.DeviceAck) -> None:
        """Empty a device's mailbox up to a position. Switches. Raises Refusal."""
        device = session.device_or_refuse
        self._database.write(lambda connection: queries.take(connection, device.id, command.upto))


def _check_size(letters: list[Letter]) -> None:
    """Raise Refusal when a request has too many letters or characters."""
    if len(letters) > DEVICE_MAIL_AT_ONCE_MAX:
        raise too_many(f"send at most {DEVICE_MAIL_AT_ONCE_MAX} items at once")
    chars_max = DEVICE_MAIL_CHARS_MAX if len(letters) > 1 else DEVICE_MAIL_BODY_CHARS_MAX
    if sum(len(letter.body) for letter in letters) > chars_max:
        raise TooLarge(f"bodies may have {chars_max} characters together; send fewer at once")
