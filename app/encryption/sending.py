"""Send messages that only the right devices can read. Flows.

    draft -> the members -> their devices -> a session that all of these have -> sealed -> sent

A message is in the outbox from the first step on. If the server refuses it because the members have
changed, it becomes a draft again, and is encrypted again for the members of now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.encryption.envelope import pack
from app.encryption.flows import Ask, Flow, Json, ServerRefused
from app.encryption.outbox import new_txn, request
from app.encryption.payloads import Address, Content, Envelope
from app.encryption.postbox import Letter
from app.encryption.refusals import EncryptionRefusal, NotApproved, Revoked

if TYPE_CHECKING:
    from app.encryption.directory import Directory
    from app.encryption.notices import Notices
    from app.encryption.olm import Olm
    from app.encryption.outbox import Outbox
    from app.encryption.people import Peer, People
    from app.encryption.postbox import Postbox
    from app.encryption.roomkeys import RoomKeys
    from app.encryption.rosters import Roster, Rosters
    from app.encryption.store import KeyStore

# Refusals that pass: a message from before a restart is kept for the next one.
PASSING = {"wait", "busy", "full", "shutting_down", "not_stored", "internal", "rate_limited"}
_MEMBERS_MAX = 1_000  # of a room, as servers bound them: each costs a key
_ATTEMPTS_MAX = 10  # while members come and go, or a lying server says so


class Sender:
    """Messages to send; see the top of this file."""

    def __init__(
        self,
        store: KeyStore,
        olm: Olm,
        people: People,
        directory: Directory,
        rosters: Rosters,
        keys: RoomKeys,
        postbox: Postbox,
        outbox: Outbox,
        notices: Notices,
    ) -> None:
        self._store = store
        self._olm = olm
        self._people = people
        self._directory = directory
        self._rosters = rosters
        self._keys = keys
        self._postbox = postbox
        self._outbox = outbox
        self._notices = notices
        self._keyless: set[str] = set()  # users without keys, of whom the person was told

    def say(self, room: str, content: Content, now: int) -> Flow[Json]:
        """Send a message to a room.

        Returns the server's answer when it is stored. `now` is in ms, here and below. Raises
        Withheld, Untrusted or TooLong: nothing was sent. Raises ServerRefused.
        """
        self._check_approved()
        pack(self._envelope(room, new_txn(), content, now))
        draft = {"room": room, "mid": new_txn(), "content": content.dump(), "ts": now}
        with self._store.transaction():
            number = self._outbox.add({"draft": draft})
            roster = self._roster_if_ready(room, now)
            if roster:
                self._encrypt(number, draft, roster)
        return (yield from self.deliver(number, now))

    def flush(self, now: int) -> Flow[None]:
        """Send all rows of the outbox: keys first, then messages.

        A message that is refused for good becomes a notice.
        """
        rows = {number: self._outbox.row(number) or {} for number in self._outbox.numbers()}
        for number in sorted(rows, key=lambda number: ("draft" in rows[number], number)):
            draft = rows[number].get("draft")  # keys go out before what they read
            try:
                yield from self.deliver(number, now, is_patient=True)
            except (EncryptionRefusal, ServerRefused) as refusal:
                if draft and number not in self._outbox.numbers():
                    self._tell_unsent(draft, refusal)

    def _tell_unsent(self, draft: Json, refusal: Exception) -> None:
        body = Content.model_validate_json(draft["content"]).body or "a file"
        who = "the server says: " if isinstance(refusal, ServerRefused) else ""
        text = f"not sent, {who}{refusal}: {body}"
        self._notices.tell("not_sent", text, room=draft["room"])

    def deliver(self, number: str, now: int, *, is_patient: bool = False) -> Flow[Json]:
        """Send a row of the outbox; remove it once answered.

        A row that is refused is removed too. `is_patient`: it is kept if the refusal passes,
        because the person is not there to say it again. Raises Withheld, Untrusted, ServerRefused.
        """
        row = self._outbox.row(number)
        if row is None:
            return {}
        try:
            answer = yield from self._bring(number, row, now)
        except (EncryptionRefusal, ServerRefused) as refusal:
            is_passing = isinstance(refusal, ServerRefused) and refusal.code in PASSING
            if not (is_passing and is_patient):
                addressed = row.get("fields", {}).get("msgs")
                self._finish(number, row, addressed, None if is_passing else now)
            raise
        if "sid" in row:
            self._finish(number, row, answer.get("failed"), now)
        else:
            self._outbox.set_done(number)
        return answer

    def _finish(self, number: str, row: Json, failed: object, put_off_at: int | None) -> None:
        """Remove a row.

        Devices that its key did not reach are given it again: with the next message, or, with
        `put_off_at`, an hour after it, if the next one would be in vain.
        """
        with self._store.transaction():
            self._outbox.remove(number)
            if "sid" in row:
                addresses = _addresses(failed)
                keys = {key for key in row["given_to"] if key.partition(" ")[0] in addresses}
                self._keys.take_back(row["sid"], keys)
                if put_off_at is not None:
                    self._postbox.put_off(keys, put_off_at)

    def _bring(self, number: str, row: Json, now: int) -> Flow[Json]:
        for _ in range(_ATTEMPTS_MAX):
            if "op" not in row:
                row = yield from self._seal(number, row["draft"], now)
            try:
                return (yield from request(row))
            except ServerRefused as refusal:
                if refusal.code != "roster_changed" or "draft" not in row:
                    raise
            self._rosters.doubt(row["draft"]["room"])
            row = {"draft": row["draft"]}
            with self._store.transaction():
                self._outbox.replace(number, row)
        raise ServerRefused("roster_changed", "members come and go too fast; try again")

    # From a draft to a request.

    def _seal(self, number: str, draft: Json, now: int) -> Flow[Json]:
        room = draft["room"]
        for _ in range(_ATTEMPTS_MAX):
            roster = yield from self.roster(room)
            if self._keys.is_used_up(room, now):
                self._directory.doubt(roster.accepted)
            yield from self._directory.refresh(roster.accepted)
            self._check_approved()
            peers = self._peers(roster)
            yield from self._share(room, peers, now)
            if self._is_still(room, roster) and self._keys.is_ready(room, peers, now):
                return self._encrypt(number, draft, roster)
        raise ServerRefused("roster_changed", "members come and go too fast; try again")

    def _roster_if_ready(self, room: str, now: int) -> Roster | None:
        """Return a room's roster if no request is needed first."""
        roster = self._rosters.find(room)
        if roster is None or not self._directory.is_fresh(roster.accepted):
            return None
        if self._keys.is_used_up(room, now):
            return None
        peers = self._peers(roster)
        lacking = self._keys.lacking(room, peers, now)
        is_ready = self._keys.is_ready(room, peers, now)
        return None if self._postbox.due(lacking, now) or not is_ready else roster

    def _is_still(self, room: str, roster: Roster) -> bool:
        """Return whether members and devices are as before our requests."""
        return self._rosters.find(room) == roster and self._directory.is_fresh(roster.accepted)

    def _encrypt(self, number: str, draft: Json, roster: Roster) -> Json:
        room = draft["room"]
        content = Content.model_validate_json(draft["content"])
        padded = pack(self._envelope(room, draft["mid"], content, draft["ts"]))
        with self._store.transaction():
            fields: Json = {"txn": new_txn(), "enc": self._keys.encrypt(room, padded)}
            if roster.rev is None:
                others = sorted(roster.members - {self._me.user}) or [self._me.user]
                row = {"op": "msg", "fields": {"user": others[0], **fields}, "draft": draft}
            else:
                fields = {"room": room, "if_rev": roster.rev, **fields}
                row = {"op": "say", "fields": fields, "draft": draft}
            self._outbox.replace(number, row)
        return row

    @property
    def _me(self) -> Peer:
        me = self._olm.me
        assert me is not None  # noqa: S101 - made before anything else
        return me

    def _envelope(self, room: str, mid: str, content: Content, at: int) -> Envelope:
        return Envelope(
            room=room,
            sender=Address(user=self._me.user, device=self._me.device),
            mid=mid,
            ts=at,
            t=content.t,
            body=content.body,
            file=content.file,
        )

    def _check_approved(self) -> None:
        self._directory.check(self._me.user)
        if self._directory.is_revoked:
            raise Revoked
        if not self._directory.is_approved:
            code = self._store.get("approval") or {"code": ""}
            raise NotApproved(device=self._me.device, approval=code["code"])

    def roster(self, room: str) -> Flow[Roster]:
        """Return the roster of a room.

        The server is asked if it is not known. Members who wait to be accepted become notices.
        Raises Downgraded, NotEncrypted, Malformed, ServerRefused.
        """
        roster = self._rosters.find(room)
        if roster is None:
            answer = yield from self._ask_roster(room)
            was_known = self._rosters.is_known(room)
            roster = self._rosters.observe(room, answer, self._me.user)
            if not was_known:
                yield from self._tell_readers(room, roster)
            for user in roster.waiting:
                text = f"{user} is new in {room} and can't read you; type: /members accept {user}"
                self._notices.tell("member_waits", text, room=room, user=user)
        return roster

    @staticmethod
    def _ask_roster(room: str) -> Flow[Json]:
        """Return the server's answer with the members of all pages.

        All pages are of one revision: if it changes between two of them, they are asked for again.
        """
        for _ in range(_ATTEMPTS_MAX):
            answer = page = yield Ask("room.roster", {"room": room})
            members: Any = answer.get("members")
            while _goes_on(page, answer, members):
                page = yield Ask("room.roster", {"room": room, "after": members[-1]})
                more = page.get("members")
                members = [*members, *more] if isinstance(more, list) else None
            if page.get("rev") == answer.get("rev"):
                break
        return {**answer, "members": members}

    def _tell_readers(self, room: str, roster: Roster) -> Flow[None]:
        """Tell a room's readers, and members without keys.

        At the first look, and whatever the server answers.
        """
        try:
            yield from self._directory.refresh(roster.accepted)
        finally:
            keyless = {user for user in roster.accepted if self._directory.is_keyless(user)}
            readers = ", ".join(sorted(roster.accepted - keyless))
            text = f"{room} is encrypted; who reads you there: {readers}"
            self._notices.tell("readers", text, room=room)
            for user in sorted(keyless):
                self._tell_keyless(user)

    def _peers(self, roster: Roster) -> list[Peer]:
        """Return the devices that may read. Raises Untrusted for a user in trouble."""
        peers = []
        for user in sorted(roster.accepted):
            self._directory.check(user)
            pin = self._people.find(user)
            if pin is None:
                self._tell_keyless(user)
                continue
            if user in self._keyless:
                self._keyless.remove(user)
                text = f"{user} has keys now, and reads what you say from here on"
                self._notices.tell("has_keys", text, user=user)
            peers += [peer for peer in pin.peers if peer != self._me]
        return peers

    def _tell_keyless(self, user: str) -> None:
        if user not in self._keyless:
            self._keyless.add(user)
            text = f"{user} has no keys yet, and can't read what is encrypted"
            self._notices.tell("no_keys", text, user=user)

    def _share(self, room: str, peers: list[Peer], now: int) -> Flow[None]:
        """Give the key to devices that lack it. They can read from the next message on."""
        lacking = self._keys.lacking(room, peers, now)
        reachable = yield from self._postbox.reach(lacking, now)
        aik = self._directory.own_aik
        if aik is None or not (reachable or not self._keys.is_ready(room, peers, now)):
            return
        with self._store.transaction():
            sid = self._keys.renew(room, peers, self._me, aik, now)
            content = self._keys.give(room, reachable)
            letters = [Letter(peer, "room_key", content) for peer in reachable]
            given_to = [peer.key for peer in reachable]
            numbers = self._postbox.seal(letters, sid=sid, given_to=given_to)
        for number in numbers:
            yield from self.deliver(number, now)


def _addresses(devices: object) -> set[str]:
    """Return the devices that a list names; skip malformed items."""
    known = devices if isinstance(devices, list) else []
    named = [each for each in known if isinstance(each, dict)]
    return {f"{each.get('user')}/{each.get('device')}" for each in named}


def _goes_on(page: Json, first: Json, members: object) -> bool:
    """Return whether there is another page of a roster.

    There is none after as many members as a room may have.
    """
    is_list = isinstance(members, list) and 0 < len(members) <= _MEMBERS_MAX
    return is_list and page.get("has_more") is True and page.get("rev") == first.get("rev")
