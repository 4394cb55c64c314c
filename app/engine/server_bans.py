"""The server's bans and mutes in force, in memory. Never switches.

They are looked up at each connection and each login, by user and by address. A look-up by address
takes one step for each length of prefix among thousands of networks, not one for each network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from ipaddress import ip_network
from typing import TYPE_CHECKING, NamedTuple

from app.measures import metrics
from app.queries.rooms import SanctionKind
from app.values.networks import Network, read_address

if TYPE_CHECKING:
    from app.protocol.moderation import ServerSanction
    from app.queries.accounts import Account
    from app.queries.sanctions import StoredServerSanction

_Prefix = tuple[int, int, int]  # the version of IP, the number of bits, and the bits
_Key = int | _Prefix  # of a user, or of a network


class Target(NamedTuple):
    """The subject of a decision: an account, or a network of addresses; the other is None."""

    account: Account | None
    network: Network | None

    @property
    def name(self) -> str:
        """The user's name, or the network's prefix."""
        return self.account.name if self.account else str(self.network)

    @property
    def ids(self) -> tuple[int | None, str]:
        """The user's id, or None; and the network's prefix, or an empty text."""
        return (self.account.id, "") if self.account else (None, str(self.network))

    @property
    def key(self) -> _Key:
        """The key by which its sanctions are found."""
        return key_of(*self.ids)


def key_of(user_id: int | None, network: str) -> _Key:
    """Return the key by which the sanctions of a user, or of a network, are found."""
    return _prefix(ip_network(network)) if user_id is None else user_id


class InForce:
    """All bans and mutes of the server; expired ones do not count. It is the server's stream."""

    id = None

    def __init__(self, stored: Iterable[StoredServerSanction]) -> None:
        self._kinds: dict[SanctionKind, _OfKind] = {"ban": _OfKind(), "mute": _OfKind()}
        for kind, user_id, sanction in stored:
            self._kinds[kind].put(key_of(user_id, sanction.network), sanction)
        kinds = self._kinds.values()
        metrics.show_kept("server_sanctions", lambda: sum(len(kind.by_key) for kind in kinds))

    def ban_of_user(self, user_id: int, now: int) -> ServerSanction | None:
        """Return the ban on a user."""
        return _longest(self._kinds["ban"].of(user_id), now)

    def ban_of_address(self, address: str, now: int) -> ServerSanction | None:
        """Return the ban that an address falls under: of several, the one that lasts longest."""
        return _longest(self._kinds["ban"].around(address), now)

    def mute_of(self, user_id: int, address: str, now: int) -> ServerSanction | None:
        """Return the mute on a user, or on their address: of several, the longest."""
        mutes = self._kinds["mute"]
        return _longest([*mutes.of(user_id), *mutes.around(address)], now)

    def find(self, kind: SanctionKind, target: Target, now: int) -> ServerSanction | None:
        """Return the ban or mute of that very target."""
        return _longest(self._kinds[kind].of(target.key), now)

    def count(self, kind: SanctionKind, now: int, by: str = "") -> int:
        """Return the number of bans, or mutes, in force: of all, or of one admin."""
        of_kind = self._kinds[kind]
        of_kind.forget_expired(now)
        return of_kind.by[by] if by else len(of_kind.by_key)

    def put(self, kind: SanctionKind, key: _Key, sanction: ServerSanction, now: int) -> None:
        """Put a ban or a mute in force, replacing an earlier one."""
        self._kinds[kind].forget_expired(now)
        self._kinds[kind].put(key, sanction)

    def forget(self, user_id: int) -> None:
        """End all sanctions of a user: the account is deleted."""
        for each in self._kinds.values():
            each.remove(user_id)

    def remove(self, kind: SanctionKind, key: _Key) -> None:
        """End a ban or a mute."""
        self._kinds[kind].remove(key)

    def all(self, now: int) -> dict[tuple[SanctionKind, _Key], ServerSanction]:
        """Return all that are in force."""
        return {
            (kind, key): each
            for kind, of_kind in self._kinds.items()
            for key, each in of_kind.by_key.items()
            if not each.is_over(now)
        }


class _OfKind:
    """All bans, or all mutes. The cost of one act does not depend on their number."""

    def __init__(self) -> None:
        self.by_key: dict[_Key, ServerSanction] = {}
        self.by: Counter[str] = Counter()  # their number, by the name of the admin
        self._lengths: Counter[tuple[int, int]] = Counter()  # of prefixes, by version
        self._ends: list[tuple[int, int, _Key]] = []  # a heap; some may have been replaced
        self._puts = 0  # tells apart those that end at one time

    def put(self, key: _Key, sanction: ServerSanction) -> None:
        self.remove(key)  # a sanction that is put again stands last
        self.by_key[key] = sanction
        self.by[sanction.by] += 1
        if isinstance(key, tuple):
            self._lengths[key[:2]] += 1
        if sanction.until is not None:
            self._puts += 1
            heappush(self._ends, (sanction.until, self._puts, key))

    def remove(self, key: _Key) -> None:
        sanction = self.by_key.pop(key, None)
        if sanction is None:
            return
        self.by[sanction.by] -= 1
        if isinstance(key, tuple):
            self._lengths[key[:2]] -= 1
            self._lengths += Counter()  # without those that are 0

    def of(self, key: _Key) -> Sequence[ServerSanction]:
        found = self.by_key.get(key)
        return [found] if found else []

    def around(self, address_text: str) -> Iterator[ServerSanction]:
        """Yield the sanctions of all networks around an address."""
        if not self._lengths:
            return
        address = read_address(address_text)
        number, size = int(address), address.max_prefixlen
        for version, length in self._lengths:
            if version == address.version:
                yield from self.of((version, length, number >> (size - length)))

    def forget_expired(self, now: int) -> None:
        while self._ends and self._ends[0][0] <= now:
            _, _, key = heappop(self._ends)
            sanction = self.by_key.get(key)
            if sanction is not None and sanction.is_over(now):
                self.remove(key)


def _prefix(network: Network) -> _Prefix:
    bits = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
    return network.version, network.prefixlen, bits


def _longest(found: Iterable[ServerSanction], now: int) -> ServerSanction | None:
    """Return the sanction that ends last, of those in force."""
    live = [each for each in found if not each.is_over(now)]
    return max(live, key=lambda each: (each.until is None, each.until or 0), default=None)
