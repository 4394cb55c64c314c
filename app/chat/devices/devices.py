"""The devices of users that encrypt, and their lists: storing them, and telling of changes.

Nothing here is secret, and no client believes us: clients check every signature. We check them too,
so that no user can leave junk here. When a user publishes another list, the user's own sessions
are told, and those that asked for it: no other session can have an old one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import gevent

from app.bounds import (
    DELIVERIES_BETWEEN_YIELDS,
    KEY_QUERIES_A_MINUTE_MAX,
    KEY_QUERY_CHARS_MAX,
    KEY_QUERY_USERS_MAX,
    MANIFESTS_AN_HOUR_MAX,
    NAMES_IN_A_ROW_MAX,
    NEW_DEVICES_AN_HOUR_MAX,
    TOKEN_USED_SECONDS,
    TURN_SECONDS,
    USERS_WATCHED_MAX,
)
from app.engine.decisions import check_is_active
from app.engine.limits import Throttle, rate_limited
from app.errors import BadLine, BadNameError, NotPossible, Refusal
from app.protocol import devices
from app.protocol.devices import UserDevices
from app.protocol.signatures import Kind, is_signed
from app.protocol.signed import AnyOwned, DevicePayload, ManifestPayload, Signed, read_payload
from app.queries import devices as queries
from app.queries.devices import KeyTakenError, KnownDevice, TooManyDevicesError
from app.values.names import parse_name

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.chat.accounts.accounts import Accounts
    from app.engine.kit import Handlers, Kit
    from app.engine.presence import Session
    from app.protocol.devices import Target
    from app.protocol.event import Event
    from app.queries.accounts import Account
    from app.queries.devices import Address, DeviceRow


class Devices:
    """All devices, and the sessions that speak for some or watch some."""

    def __init__(self, kit: Kit, accounts: Accounts) -> None:
        self._database, self._clock = kit.database, kit.clock
        self._sessions = kit.present.sessions
        self._accounts = accounts
        self._new_devices = Throttle(NEW_DEVICES_AN_HOUR_MAX, seconds=3_600)
        self._manifests = Throttle(MANIFESTS_AN_HOUR_MAX, seconds=3_600)
        self._queries = Throttle(KEY_QUERIES_A_MINUTE_MAX, seconds=60)
        self._revocations = 0  # since the start

    def handlers(self) -> Handlers:
        """Return the method that carries out each command."""
        return {
            devices.DevicePut: self.put,
            devices.ManifestPut: self.put_manifest,
            devices.KeysQuery: self.query,
            devices.KeysChanges: self.changes,
        }

    def put(self, session: Session, command: devices.DevicePut) -> None:
        """Make a session speak for a device, new or known. Switches. Raises Refusal."""
        said = Signed(payload=command.payload, sig=command.sig)
        described = read_own(session, DevicePayload, said)
        if not is_signed(said, Kind.DEVICE, described.device.ed25519):
            raise bad_signature()
        if session.device is not None and session.device.device_id != described.device.id:
            raise NotPossible(
                f"this session speaks for device {session.device.device_id}; "
                "log in anew to speak for another",
                code="device_id_reused",
            )
        revocations = -1
        while revocations != self._revocations:  # it may be revoked just after it was found
            revocations = self._revocations
            known = self._find_or_put(session, described, said)
        session.check_is_here()
        session.device = known
        session.client.show(devices.DeviceKnown())

    def _find_or_put(self, session: Session, described: DevicePayload, said: Signed) -> KnownDevice:
        """Return a device's row; write only changes. Switches. Raises Refusal."""
        user_id, device_id, now = session.speaker.id, described.device.id, self._clock()
        seen_after = now - TOKEN_USED_SECONDS * 1000

        def look(connection: Connection) -> tuple[KnownDevice | None, bool]:
            found = queries.find(connection, user_id, device_id, said, seen_after)
            return found, queries.is_known(connection, user_id, device_id)

        found, is_known = self._database.read(look)
        if found is not None:
            return found
        if not is_known:
            check_rate(self._new_devices, session)

        def put(connection: Connection) -> KnownDevice:
            check_is_active(connection, user_id)
            return queries.put(connection, user_id, described, said, now)

        try:
            return self._database.write(put)
        except KeyTakenError as error:
            raise NotPossible(
                "another device has that id or one of those keys, or it was revoked; "
                "begin as a new device",
                code="device_id_reused",
            ) from error
        except TooManyDevicesError as error:
            raise too_many("your account has had too many devices; ask the operator") from error

    def put_manifest(self, session: Session, command: devices.ManifestPut) -> None:
        """Publish the next list of a user's devices. Switches. Raises Refusal."""
        said = Signed(payload=command.payload, sig=command.sig)
        manifest = read_own(session, ManifestPayload, said)
        if len({keys.id for keys in manifest.devices}) < len(manifest.devices):
            raise bad_payload()
        check_rate(self._manifests, session)
        if not is_signed(said, Kind.MANIFEST, manifest.aik):
            raise bad_signature()
        user = session.speaker

        def put(connection: Connection) -> set[int] | None:
            check_is_active(connection, user.id)
            return queries.put_manifest(connection, user.id, manifest, said, self._clock())

        try:
            revoked = self._database.write(put)
        except KeyTakenError as error:
            raise bad_payload() from error
        if revoked is None:
            raise NotPossible(
                "another list of your devices was published meanwhile; look at it first",
                code="manifest_conflict",
            )
        self._revocations += bool(revoked)
        for each in self._sessions:
            if each.device is not None and each.device.id in revoked:
                each.device = None
        self._tell_changed(user.id, manifest.user)

    def note_deletion(self, account: Account) -> None:
        """Tell its watchers that an account has no devices. Switches."""
        self._revocations += 1
        self._tell_changed(account.id, parse_name(account.name).key)

    def tell(self, device: DeviceRow, event: Event) -> None:
        """Show an event to the sessions of a device. Never switches."""
        user = self._accounts.user_here(device.user_id)
        for session in [*user.sessions] if user else ():
            if session.device is not None and session.device.id == device.id:
                session.client.show(event)

    def _tell_changed(self, user_id: int, key: str) -> None:
        """Tell sessions that may know an old list of a change. They may be all sessions.

        Switches now and then.
        """
        changed = devices.DevicesChanged([key])
        for number, session in enumerate([*self._sessions], 1):
            is_watching = session.watched is None or key in session.watched
            if is_watching or (session.device is not None and session.speaker.id == user_id):
                session.client.show(changed)
            if number % DELIVERIES_BETWEEN_YIELDS == 0:
                gevent.sleep(TURN_SECONDS)

    def query(self, session: Session, command: devices.KeysQuery) -> None:
        """Show the devices of users, and watch them. Switches. Raises Refusal."""
        if len(command.users) > KEY_QUERY_USERS_MAX:
            raise too_many(f"ask for at most {KEY_QUERY_USERS_MAX} users at once")
        check_rate(self._queries, session)
        found_keys = zip(command.users, user_keys(command.users), strict=True)
        keys = {name: key for name, key in found_keys if key is not None}
        _watch(session, keys.values())  # before they are read, so that no change is missed
        own_id = session.speaker.id
        found = self._database.read(
            lambda connection: queries.of_users(connection, set(keys.values()), own_id)
        )
        nobody = UserDevices(None, [])
        users = {name: found.get(keys.get(name, ""), nobody) for name in command.users}
        session.client.show_at_leisure(devices.DevicesShown(_bounded(users)))

    def changes(self, session: Session, command: devices.KeysChanges) -> None:
        """Show the users whose devices changed since a position. Switches. Raises Refusal."""
        check_rate(self._queries, session)
        found = self._database.read(lambda connection: queries.changes(connection, command.since))
        if found is None:
            raise NotPossible(
                "what changed since then is not known any more; ask for everybody anew",
                code="since_too_old",
            )
        session.client.show_at_leisure(devices.DeviceChangesListed(*found))


def _watch(session: Session, keys: Iterable[str]) -> None:
    """Watch users for a session: it is told when their devices change."""
    if session.watched is not None:
        watched = session.watched | set(keys)
        session.watched = watched if len(watched) <= USERS_WATCHED_MAX else None


def _bounded(users: dict[str, UserDevices]) -> dict[str, UserDevices]:
    """Leave out devices' descriptions beyond the bound of an answer: the lists have them."""
    chars, bounded = 0, {}
    for name, found in users.items():
        chars += sum(len(each.payload) + len(each.sig) for each in found.devices)
        is_too_long = chars > KEY_QUERY_CHARS_MAX
        bounded[name] = UserDevices(found.manifest, []) if is_too_long else found
    return bounded


# Shared by devices, keys and mailboxes.


def user_key(name: str) -> str | None:
    """Return the key of a user's name; None when no user can have that name."""
    try:
        return parse_name(name).key
    except BadNameError:
        return None


def read_own(session: Session, shape: type[AnyOwned], said: Signed) -> AnyOwned:
    """Read a text signed by a session's user. Raises BadLine: it is junk, or another user's."""
    try:
        payload = read_payload(shape, said.payload)
    except ValueError as error:
        raise bad_payload() from error
    if payload.user != user_key(session.speaker.name):
        raise bad_payload()
    return payload


def user_keys(names: Iterable[str]) -> Iterator[str | None]:
    """Yield the `user_key` of each name; let others have turns in between. Switches.

    A name of letters that are no ASCII takes some 0.3 ms.
    """
    for number, name in enumerate(names, 1):
        yield user_key(name)
        if number % NAMES_IN_A_ROW_MAX == 0:
            gevent.sleep(TURN_SECONDS)


def addresses_of(targets: Sequence[Target]) -> list[Address]:
    """Return the addresses of devices; a name that no user can have gives "". Switches."""
    keys = user_keys(target.user for target in targets)
    return [(key or "", target.device) for key, target in zip(keys, targets, strict=True)]


def check_rate(throttle: Throttle, session: Session) -> None:
    """Count an act of a session's user. Raises Unavailable when they are too fast."""
    if not throttle.take(str(session.speaker.id), time.monotonic()):
        raise rate_limited()


def bad_payload() -> Refusal:
    """Return the refusal of a signed text of the wrong form."""
    return BadLine(
        "the payload has not the form of docs/encryption.md, or is not your own",
        code="bad_device_payload",
    )


def bad_signature() -> Refusal:
    """Return the refusal of a text signed with another key."""
    return BadLine("the signature is not one of that key over that payload", code="bad_signature")


def too_many(sentence: str) -> Refusal:
    """Return the refusal of a request over a bound."""
    return BadLine(sentence, code="too_many")
