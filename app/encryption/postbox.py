"""Exchange messages between devices through the server's mailboxes. Flows.

The server can't read them. A message to send is encrypted and put into the outbox in one
transaction. A received one is decrypted, taken in and committed in one transaction, and then
acknowledged: so no message is lost, and none is taken twice. A broken session is replaced, at most
once an hour a device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from pydantic import Field

from app.encryption.flows import Ask, Flow, Json, ServerRefused
from app.encryption.outbox import new_txn
from app.encryption.payloads import Address, Control, ControlKind, OlmBody, parse, parse_answer
from app.encryption.people import Peer
from app.encryption.refusals import Malformed, UnknownDevice, Untrusted, WedgedSession, WrongSender
from app.protocol.signed import Shape, Signed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.encryption.directory import Directory
    from app.encryption.notices import Notices
    from app.encryption.olm import Olm
    from app.encryption.outbox import Outbox
    from app.encryption.people import People
    from app.encryption.store import KeyStore

ITEMS_AT_ONCE = 50  # of one `td.fetch`
_PAGES_MAX = 40  # twice what a mailbox holds; a server may never come to an end
SEND_CHARS_MAX = 32 << 10  # of the bodies of one `td.send`: its line stays below 64 KiB
TARGETS_AT_ONCE_MAX = 100  # of one `keys.claim`
RENEWAL_MILLISECONDS = 3_600_000  # between two new sessions with one device
RETRY_MILLISECONDS = 3_600_000  # before a device without keys at the server is tried again


class Letter(NamedTuple):
    """A message to one device."""

    to: Peer
    kind: ControlKind
    content: str


class Item(Shape):
    """An item of our mailbox.

    Its numbers rise. The server may say which device left it: then a body by another sender is
    refused, before anything is asked about that sender.
    """

    n: int = Field(ge=1, lt=1 << 63)
    body: str = Field(max_length=128 << 10)
    user: str | None = None
    device: str | None = None

    def read(self) -> OlmBody:
        """Return the body. Raises Malformed, WrongSender."""
        body = parse(OlmBody, self.body, "a message between devices")
        sender = body.sender
        if (self.user or sender.user, self.device or sender.device) != (sender.user, sender.device):
            raise WrongSender(user=sender.user)
        return body


class ClaimedKey(Address):
    """A one-time key that the server handed out."""

    key: Signed


class Receiver(Protocol):
    """The part that takes in messages of devices."""

    def take(self, peer: Peer | None, control: Control, now: int) -> Flow[None] | None:
        """Take in a message of a device, inside a transaction.

        Returns a flow to run after the transaction, or None. `peer` is None for a device that is
        not approved. Raises Untrusted.
        """


class Postbox:
    """Our mailbox, and letters; see the top of this file."""

    def __init__(
        self,
        store: KeyStore,
        olm: Olm,
        people: People,
        directory: Directory,
        outbox: Outbox,
        notices: Notices,
    ) -> None:
        self._store = store
        self._olm = olm
        self._people = people
        self._directory = directory
        self._outbox = outbox
        self._notices = notices
        self._retry_at: dict[str, int] = {}  # when to try devices that could not be reached
        self._looked_up: set[str] = set()  # users of unknown devices in our mailbox

    # Sending.

    def reach(self, peers: Iterable[Peer], now: int) -> Flow[list[Peer]]:
        """Return the devices that can be written to.

        Sessions are begun with new ones. `now` is in ms, here and below. Raises ServerRefused.
        """
        peers = self.due(peers, now)
        unknown = [peer for peer in peers if not self._olm.can_reach(peer)]
        for start in range(0, len(unknown), TARGETS_AT_ONCE_MAX):
            yield from self._claim(unknown[start : start + TARGETS_AT_ONCE_MAX], now)
        return [peer for peer in peers if self._olm.can_reach(peer)]

    def due(self, peers: Iterable[Peer], now: int) -> list[Peer]:
        """Return the devices that may be tried now.

        A device that was tried in vain has to wait for an hour.
        """
        return [peer for peer in peers if now >= self._retry_at.get(peer.key, 0)]

    def _claim(self, peers: list[Peer], now: int) -> Flow[None]:
        targets = [{"user": peer.user, "device": peer.device} for peer in peers]
        try:
            answer = yield Ask("keys.claim", {"targets": targets})
        except ServerRefused as refusal:
            if refusal.code != "rate_limited":
                raise
            answer = {}
        keys = _claimed(answer.get("keys"))
        with self._store.transaction():
            for peer in peers:
                self._begin(peer, keys.get(str(peer)), now)

    def _begin(self, peer: Peer, key: Signed | None, now: int) -> None:
        try:
            if key is not None:
                self._olm.begin(peer, key)
                return
            text = f"a device of {peer.user} has no keys at the server, and can't read you yet"
            self._notices.tell("no_one_time_keys", text, user=peer.user)
        except Untrusted as refusal:
            self._notices.refuse(refusal)
        self.put_off([peer.key], now)

    def put_off(self, keys: Iterable[str], now: int) -> None:
        """Do not try devices again for an hour."""
        self._retry_at.update(dict.fromkeys(keys, now + RETRY_MILLISECONDS))

    def seal(self, letters: Iterable[Letter], **about: object) -> list[str]:
        """Encrypt letters to devices that can be reached.

        Returns the numbers of their rows of the outbox, each with `about`. Inside a transaction.
        """
        numbers: list[str] = []
        batch: list[Json] = []
        chars = 0
        for letter in letters:
            body = self._olm.encrypt(*letter)
            if batch and chars + len(body) > SEND_CHARS_MAX:
                numbers.append(self._add(batch, about))
                batch, chars = [], 0
            batch.append({"user": letter.to.user, "device": letter.to.device, "body": body})
            chars += len(body)
        return [*numbers, self._add(batch, about)] if batch else numbers

    def _add(self, batch: list[Json], about: Json) -> str:
        return self._outbox.add_request("td.send", {"txn": new_txn(), "msgs": batch}, **about)

    # Receiving.

    def fetch(self, receiver: Receiver, now: int) -> Flow[list[str]]:
        """Empty our mailbox.

        Returns rows of the outbox that have to be sent then. Raises ServerRefused.
        """
        to_send: list[str] = []
        self._looked_up.clear()
        for _ in range(_PAGES_MAX):
            before = self._position
            answer = yield Ask("td.fetch", {"after": before, "limit": ITEMS_AT_ONCE})
            said = answer.get("items")
            items = said if isinstance(said, list) else []
            for item in items:
                to_send += yield from self._take(item, receiver, now)
            if self._position:
                yield Ask("td.ack", {"upto": self._position})
            if self._position == before or len(items) < ITEMS_AT_ONCE:
                break
        return to_send

    @property
    def _position(self) -> int:
        row = self._store.get("position", "mailbox")
        return int(row["n"]) if row else 0

    def _pass(self, item: Item) -> None:
        self._store.put("position", "mailbox", {"n": item.n})

    def _take(self, said: object, receiver: Receiver, now: int) -> Flow[list[str]]:
        """Take in one item, once.

        An item that can't be believed becomes a notice, and is passed over.
        """
        try:
            item = parse_answer(Item, _known_fields(said), "an item of a mailbox")
        except Malformed as refusal:
            self._notices.refuse(refusal)
            return []
        if item.n <= self._position:
            return []
        body: OlmBody | None = None
        try:
            body = item.read()
            yield from self._look_up(body)
            with self._store.transaction():
                then = self._open(body, receiver, now)
                self._pass(item)
        except Untrusted as refusal:
            with self._store.transaction():
                self._pass(item)
            self._notices.refuse(refusal)
            if body and isinstance(refusal, WedgedSession):
                return (yield from self.renew(body.sender.user, body.sender.device, now))
            return []
        if then is not None:
            yield from then
        return []

    def _look_up(self, body: OlmBody) -> Flow[None]:
        """Ask for an unknown device, once for all its items. Its list may be new."""
        user = body.sender.user
        if user in self._looked_up and self._directory.was_asked_for(user):
            return
        if self._find(body) is None:
            self._looked_up.add(user)
            self._directory.doubt([user])
            yield from self._directory.refresh([user])

    def _find(self, body: OlmBody) -> Peer | None:
        try:
            return self._people.peer(body.sender.user, body.sender.device)
        except UnknownDevice:
            return None

    def _open(self, body: OlmBody, receiver: Receiver, now: int) -> Flow[None] | None:
        me = self._olm.me
        assert me is not None  # noqa: S101 - made before anything else
        control = self._olm.decrypt(body, me.party)
        peer = self._find(body)
        if peer and peer.curve25519 != body.curve25519:
            raise WrongSender(user=body.sender.user)
        if peer and control.sender != peer.party:
            raise WrongSender(user=body.sender.user)
        return receiver.take(peer, control, now)

    # Sessions that broke.

    def renew(self, user: str, device: str, now: int) -> Flow[list[str]]:
        """Begin a new session with a device.

        At most once an hour. The device is asked for the keys that it gave us. Returns rows of the
        outbox that have to be sent then. Raises ServerRefused.
        """
        try:
            peer = self._people.peer(user, device)
        except UnknownDevice:
            return []
        if not self.may_repeat("renewal", peer, now):
            return []
        yield from self._claim([peer], now)
        if not self._olm.can_reach(peer):
            return []
        with self._store.transaction():
            return self.seal([Letter(peer, "renew", "")])

    def may_repeat(self, kind: str, peer: Peer, now: int) -> bool:
        """Return whether an act may be repeated; note it.

        It costs the device `peer` work: it may be repeated after an hour.
        """
        last = self._store.get(kind, peer.key)
        if last and 0 <= now - last["at"] < RENEWAL_MILLISECONDS:
            return False
        with self._store.transaction():
            self._store.put(kind, peer.key, {"at": now})
        return True


def _known_fields(said: object) -> object:
    """Return the fields of an item that we read. The server may add others, which we ignore."""
    return {key: said.get(key) for key in Item.model_fields} if isinstance(said, dict) else said


def _claimed(keys: object) -> dict[str, Signed]:
    """Return the keys that a server handed out, by device. A malformed one counts as missing."""
    found = {}
    for said in keys if isinstance(keys, list) else ():
        try:
            claimed = parse_answer(ClaimedKey, said, "a one-time key")
        except Malformed:
            continue
        found[f"{claimed.user}/{claimed.device}"] = claimed.key
    return found
