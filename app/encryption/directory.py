"""Ask for users' identities when they may have changed. Flows.

Answers are checked against the pins. After an answer that can't be believed its user is "in
trouble": nothing is sent to this user until the server brings a better one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.encryption.flows import Ask, Flow, Json, ServerRefused
from app.encryption.payloads import parse, parse_answer, user_key
from app.encryption.refusals import (
    IdentityLost,
    Malformed,
    NoSuchDevice,
    Untrusted,
    WrongOwner,
)
from app.encryption.signing import public_key, verify
from app.protocol.signatures import Kind
from app.protocol.signed import DevicePayload, Signed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.encryption.notices import Notices
    from app.encryption.olm import Olm
    from app.encryption.people import People, Pin
    from app.encryption.store import KeyStore

_USERS_AT_ONCE_MAX = 100  # of one `keys.query`
_DEVICE = "a device"


class Directory:
    """Each user's devices, as far as can be believed."""

    def __init__(self, store: KeyStore, people: People, olm: Olm, notices: Notices) -> None:
        self._store = store
        self._people = people
        self._olm = olm
        self._notices = notices
        self._fresh: set[str] = set()
        self._asked: set[str] = set()  # since they last changed, whatever the answer was
        self._trouble: dict[str, Untrusted] = {}

    @property
    def own_aik(self) -> str | None:
        """Our identity key; None if this device has none."""
        row = self._store.get("identity")
        return public_key(row["seed"]) if row else None

    def doubt(self, users: Iterable[str]) -> None:
        """Have `refresh` ask for these users again."""
        doubtful = set(users)
        self._fresh -= doubtful
        self._asked -= doubtful

    def doubt_all(self) -> None:
        """Have `refresh` ask for every user again."""
        self._fresh.clear()
        self._asked.clear()

    def is_fresh(self, users: Iterable[str]) -> bool:
        """Return whether `refresh` would ask for none of these users."""
        return self._fresh.issuperset(users)

    def was_asked_for(self, user: str) -> bool:
        """Return whether a user was asked for since `doubt`."""
        return user in self._asked

    def refresh(self, users: Iterable[str]) -> Flow[None]:
        """Ask for those users whose devices may have changed.

        Raises ServerRefused. An answer that can't be believed becomes a notice.
        """
        stale = sorted(set(users) - self._fresh)
        for start in range(0, len(stale), _USERS_AT_ONCE_MAX):
            asked = stale[start : start + _USERS_AT_ONCE_MAX]
            answer = yield Ask("keys.query", {"users": asked})
            with self._people.together():
                for user in asked:
                    self._observe(user, _of_user(answer, user).get("manifest"))

    def _observe(self, user: str, said: object) -> None:
        self._asked.add(user)
        try:
            signed = None if said is None else parse_answer(Signed, said, "a list of devices")
            before = self._people.find(user)
            self._people.observe(user, signed)
            self._tell_new_devices(user, before)
        except Untrusted as trouble:
            self._trouble[user] = trouble
            self._notices.refuse(trouble)
        else:
            self._trouble.pop(user, None)
            self._fresh.add(user)

    def _tell_new_devices(self, user: str, before: Pin | None) -> None:
        """Tell which devices a known user has approved since."""
        pin, me = self._people.find(user), self._olm.me
        if before is None or pin is None:
            return
        for peer in pin.peers:
            if peer not in before.peers and peer != me:
                text = f"{user} has a new device, {peer.device}, approved by another of theirs"
                self._notices.tell("new_device", text, user=user)

    def check(self, user: str) -> None:
        """Refuse a user to whom nothing may be sent now. Raises Untrusted, IdentityLost."""
        me, pin, aik = self._olm.me, self._people.find(user), self.own_aik
        if me and user == me.user and pin and aik and (pin.changed or pin.manifest.aik != aik):
            raise IdentityLost
        if user in self._trouble:
            raise self._trouble[user]
        self._people.check_may_send(user)

    @property
    def is_approved(self) -> bool:
        """Return whether this device may speak for its user."""
        me, aik = self._olm.me, self.own_aik
        pin = self._people.find(me.user) if me else None
        return bool(me and pin and aik == pin.manifest.aik and me in pin.peers)

    @property
    def is_revoked(self) -> bool:
        """Return whether another device revoked this one."""
        me, aik = self._olm.me, self.own_aik
        pin = self._people.find(me.user) if me else None
        return bool(me and pin and aik == pin.manifest.aik and me not in pin.peers)

    def is_keyless(self, user: str) -> bool:
        """Return whether a user never had keys.

        That is so as far as the server says and we have seen.
        """
        return self._people.find(user) is None and self.is_fresh([user])

    def changes(self) -> Flow[None]:
        """Ask which users' devices changed while we were not connected. Raises ServerRefused."""
        position = self._store.get("position", "changes") or {"next": 0}
        try:
            answer = yield Ask("keys.changes", {"since": position["next"]})
        except ServerRefused as refusal:
            if refusal.code != "since_too_old":
                raise
            self.doubt_all()
            answer = yield Ask("keys.changes", {"since": None})
        self.doubt(users_named(answer.get("users")))
        following = answer.get("next")
        with self._store.transaction():
            row = {"next": following if isinstance(following, int) else 0}
            self._store.put("position", "changes", row)

    def devices(self, user: str) -> Flow[dict[str, DevicePayload]]:
        """Return the checked description of each device of a user.

        Devices that are not approved are included. Raises ServerRefused.
        """
        answer = yield Ask("keys.query", {"users": [user]})
        said = _of_user(answer, user)
        self._observe(user, said.get("manifest"))
        devices = {}
        listed = said.get("devices")
        for each in listed if isinstance(listed, list) else ():
            device = self._read_device(user, each)
            if device:
                devices[device.device.id] = device
        return devices

    def _read_device(self, user: str, said: object) -> DevicePayload | None:
        try:
            signed = parse_answer(Signed, said, _DEVICE)
            device = parse(DevicePayload, signed.payload, _DEVICE)
            verify(signed, Kind.DEVICE, device.device.ed25519, what=_DEVICE, user=user)
            if device.user != user:
                raise WrongOwner(what=_DEVICE, user=user)
        except Untrusted as refusal:
            self._notices.refuse(refusal)
            return None
        return device

    def device(self, user: str, device: str) -> Flow[DevicePayload]:
        """Return the checked description of one device. Raises NoSuchDevice, ServerRefused."""
        devices = yield from self.devices(user)
        if device not in devices:
            raise NoSuchDevice(device=device)
        return devices[device]


def _of_user(answer: Json, user: str) -> Json:
    """Return the part of an answer about a user. It is {} if there is no object."""
    users = answer.get("users")
    said = users.get(user) if isinstance(users, dict) else None
    return said if isinstance(said, dict) else {}


def users_named(users: object) -> set[str]:
    """Return the users in a server's list. Skips what can't be a name."""
    names = set()
    for user in users if isinstance(users, list) else ():
        try:
            names.add(user_key(str(user)))
        except Malformed:
            continue
    return names
