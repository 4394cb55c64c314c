"""Moderation of rooms: sending users out, keeping them out, and keeping them silent.

A decision is an entry of the journal, written with its record in the audit. It takes effect when it
is released, in one atomic stretch: the rule changes, banned users leave, and the room is shown why.
If the write fails, nothing has changed. Decisions about one room are made one at a time, each
checked against the result of the one before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from app.bounds import MODERATORS_A_ROOM_MAX, SANCTIONS_A_ROOM_MAX
from app.chat.rooms.rooms import Rooms
from app.engine import apply
from app.engine.decisions import check_is_there
from app.engine.presence import Room
from app.engine.tickets import Tickets
from app.errors import Code, Forbidden, NotPossible, Remedy, Unavailable
from app.protocol import moderation
from app.queries import rooms as queries
from app.queries.rooms import SanctionKind
from app.values.names import harmless, parse_name
from app.values.times import check_reason

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.chat.accounts.accounts import Accounts
    from app.chat.rooms.members import Rosters
    from app.engine.decisions import Change
    from app.engine.delivery import Delivery
    from app.engine.entries import Then
    from app.engine.facts import Fact
    from app.engine.kit import Handlers, Kit
    from app.engine.presence import Session, User
    from app.queries.accounts import Account


_About = (
    moderation.Kick
    | moderation.Ban
    | moderation.Unban
    | moderation.Mute
    | moderation.Unmute
    | moderation.Promote
    | moderation.Demote
)
_RANKS = {"": 0, "moderator": 1, "owner": 2, "admin": 3, "operator": 4}
_NO_TOPIC = "-"
_CALLED = {"moderator": "a moderator", "owner": "the owner", "admin": "an admin"}


class _Case(NamedTuple):
    """A decision to be made: room, session, user, target, time, and the least role for it."""

    room: Room
    session: Session
    by: User
    target: Account
    now: int
    least: str

    @property
    def about(self) -> tuple[int, str, str]:
        """What all facts say: target, by id and name, and the name of the user who decides."""
        return self.target.id, self.target.name, self.by.name

    @property
    def role(self) -> str:
        """The role of the user who decides."""
        if self.session.is_operator:
            return "operator"
        return self.room.role_of(self.by.id, is_admin=self.by.is_admin)

    def check_rank(self) -> None:
        """Raise Refusal when the user's rank is too low for this target."""
        target = self.room.role_of(self.target.id, is_admin=self.target.is_admin)
        self._check(self.role, target)

    def check_rank_as_written(self, connection: Connection) -> None:
        """Do the same by the database: roles may have changed while the decision waited."""
        check_is_there(connection, self.target)
        by = queries.role_of(connection, self.room.id, self.by.id)
        self._check(by, queries.role_of(connection, self.room.id, self.target.id))

    def _check(self, by: str, target: str) -> None:
        if _RANKS[by] < _RANKS[self.least]:
            whose = "its moderators" if self.least == "moderator" else "its owner and admins"
            raise Forbidden(f"only {whose} may do that in {self.room.name}", code="not_allowed")
        if self.target.id == self.by.id:
            raise NotPossible("you can't do that to yourself", code="yourself")
        if _RANKS[by] <= _RANKS[target]:
            raise Forbidden(f"{self.target.name} is {_CALLED[target]} here", code="not_allowed")


class _Terms(NamedTuple):
    """The terms of a ban or a mute: for seconds or for good, why, and when it was made."""

    seconds: int | None
    reason: str
    made_at: int


class Moderation:
    """The decisions of moderators, owners and admins. All of them switch, and raise Refusal."""

    def __init__(
        self,
        kit: Kit,
        accounts: Accounts,
        rooms: Rooms,
        rosters: Rosters,
        tickets: Tickets,
    ) -> None:
        self._database, self._clock, self._acts = kit.database, kit.clock, kit.acts
        self._accounts = accounts
        self._rooms = rooms
        self._rosters = rosters
        self._tickets = tickets

    def handlers(self) -> Handlers:
        """Return the method that carries out each command."""
        return {
            moderation.Topic: self.topic,
            moderation.Kick: self.kick,
            moderation.Ban: self.ban,
            moderation.Unban: self.unban,
            moderation.Bans: self.bans,
            moderation.Mute: self.mute,
            moderation.Unmute: self.unmute,
            moderation.Promote: self.promote,
            moderation.Demote: self.demote,
        }

    def kick(self, session: Session, command: moderation.Kick) -> None:
        """Send a user out of the room."""
        with self._case(session, command, "moderator") as case:
            room, target = case.room, case.target
            if not room.is_in(target.id) and not room.has_member(target.id):
                raise NotPossible(f"{target.name} is not in {room.name}", code="not_here")
            reason = harmless(command.reason)
            self._send_out(case, apply.Kicked(*case.about, reason), "kick", reason)

    def ban(self, session: Session, command: moderation.Ban) -> None:
        """Ban a user from the room, for a time or for good."""
        with self._case(session, command, "moderator") as case:
            change, terms = self._sanction(case, "ban", command)
            self._send_out(case, apply.Banned(*case.about, *terms), "ban", terms.reason, change)

    def mute(self, session: Session, command: moderation.Mute) -> None:
        """Mute a user in the room, for a time or for good."""
        with self._case(session, command, "moderator") as case:
            change, terms = self._sanction(case, "mute", command)
            self._decide(case, [apply.Muted(*case.about, *terms)], "mute", terms.reason, change)

    def unban(self, session: Session, command: moderation.Unban) -> None:
        """End a user's ban."""
        with self._case(session, command, "moderator") as case:
            self._lift(case, "ban", apply.Unbanned(*case.about))

    def unmute(self, session: Session, command: moderation.Unmute) -> None:
        """End a user's mute."""
        with self._case(session, command, "moderator") as case:
            self._lift(case, "mute", apply.Unmuted(*case.about))

    def promote(self, session: Session, command: moderation.Promote) -> None:
        """Make a user a moderator."""
        with self._case(session, command, "owner") as case:
            room, target = case.room, case.target
            if target.id in room.moderator_ids:
                raise NotPossible(f"{target.name} is a moderator already", code="is_moderator")
            if len(room.moderator_ids) >= MODERATORS_A_ROOM_MAX:
                raise NotPossible(
                    f"{room.name} has {MODERATORS_A_ROOM_MAX} moderators",
                    code="too_many",
                    remedy=Remedy("demote"),
                )
            change = partial(queries.add_moderator, room_id=room.id, user_id=target.id)
            self._decide(case, [apply.Promoted(*case.about)], "promote", "", change)

    def demote(self, session: Session, command: moderation.Demote) -> None:
        """Take the role of moderator from a user."""
        with self._case(session, command, "owner") as case:
            room, target = case.room, case.target
            if target.id not in room.moderator_ids:
                raise NotPossible(f"{target.name} is no moderator", code="is_no_moderator")
            change = partial(queries.remove_moderator, room_id=room.id, user_id=target.id)
            self._decide(case, [apply.Demoted(*case.about)], "demote", "", change)

    def topic(self, session: Session, command: moderation.Topic) -> None:
        """Show the room's topic, set it, or remove it: with a dash, or no text."""
        if command.text is None:
            with self._rooms.holding(self._rooms.room_of(session, command.room)) as room:
                session.client.show(moderation.TopicShown(room.name, room.topic))
            return
        with self._deciding(session, command.room) as room:
            user = session.speaker
            session.check_may_speak(self._clock(), room)

            def check(role: str) -> None:
                if not role:
                    raise Forbidden(
                        f"only its moderators may set the topic of {room.name}", code="not_allowed"
                    )

            check(room.role_of(user.id, is_admin=user.is_admin))
            topic = "" if command.text == _NO_TOPIC else harmless(command.text).strip()
            self._acts.decide(
                session,
                room,
                [apply.TopicSet(topic, user.name)],
                "topic",
                change=lambda connection: queries.set_topic(connection, room.id, topic),
                reason=topic,
                check=lambda each: check(queries.role_of(each, room.id, user.id)),
                speaks=True,
            )

    def bans(self, session: Session, command: moderation.Bans) -> None:
        """Show a page of the room's bans and mutes."""
        after_key, now = parse_name(command.after).key if command.after else "", self._clock()
        with self._rooms.holding(self._rooms.room_of(session, command.room)) as room:
            found, has_more = self._database.read(
                lambda each: queries.sanctions_page(each, room.id, after_key, command.count, now)
            )
            if not session.is_operator:
                session.check_is_in(room)  # again: the read has switched
        bans, mutes = ([each for of, each in found if of == kind] for kind in ("ban", "mute"))
        last = found[-1][1].user if has_more else ""
        session.client.show_at_leisure(
            moderation.SanctionsListed(room.name, bans, mutes, has_more, last, command.after)
        )

    @contextmanager
    def _deciding(self, session: Session, room_name: str) -> Iterator[Room]:
        """Hold the session's room for a decision. Switches. Raises Refusal."""
        room = self._rooms.room_of(session, room_name)
        with self._rooms.deciding(room):
            session.check_is_here()
            if not session.is_operator:
                session.check_is_in(room)
            yield room

    @contextmanager
    def _case(self, session: Session, command: _About, least: str) -> Iterator[_Case]:
        """Hold the room, and check the ranks for a decision. Switches. Raises Refusal."""
        with self._deciding(session, command.room) as room:
            target = self._accounts.find(command.user)
            case = _Case(room, session, session.speaker, target, self._clock(), least)
            case.check_rank()
            yield case

    def _sanction(
        self, case: _Case, kind: SanctionKind, command: moderation.Ban | moderation.Mute
    ) -> tuple[Change, _Terms]:
        """Return what writes a ban or a mute, and its terms. Raises Refusal."""
        check_reason(command.seconds, command.reason)
        room, target, now = case.room, case.target, case.now
        terms = _Terms(command.seconds, harmless(command.reason), now)
        in_force = room.sanctions[kind]
        count = sum(not each.is_over(now) for each in in_force.values())
        if count >= SANCTIONS_A_ROOM_MAX and target.id not in in_force:
            raise Unavailable(
                f"{room.name} has {SANCTIONS_A_ROOM_MAX} of these; end some, and try again",
                code="full",
            )

        def change(connection: Connection) -> None:
            until = None if terms.seconds is None else now + terms.seconds * 1000
            sanction = queries.NewSanction(
                kind, room.id, target.id, case.by.account_id, terms.reason, now, until
            )
            queries.put_sanction(connection, sanction)
            if kind == "ban":
                queries.remove_moderator(connection, room.id, target.id)

        return change, terms

    def _lift(self, case: _Case, kind: SanctionKind, fact: Fact) -> None:
        """End a ban or a mute that is in force. Switches. Raises Refusal."""
        room, target = case.room, case.target
        if room.sanction(kind, target.id, case.now) is None:
            code: Code = "no_ban" if kind == "ban" else "no_mute"
            raise NotPossible(f"there is no {kind} on {target.name}", code=code)
        remove = queries.remove_sanction
        change = partial(remove, kind=kind, room_id=room.id, user_id=target.id)
        self._decide(case, [fact], f"un{kind}", "", change)

    def _send_out(
        self, case: _Case, fact: Fact, action: str, reason: str, change: Change | None = None
    ) -> None:
        """Send a user out, and remove them from the members. Switches. Raises Refusal."""
        room, target = case.room, case.target
        removed, both = self._rosters.removing(room, target.id, target.name, change)

        def revoke(_delivery: Delivery) -> None:
            self._tickets.revoke(room.id, target.id)

        self._decide(case, [fact, *removed], action, reason, both, revoke)

    def _decide(
        self,
        case: _Case,
        facts: Sequence[Fact],
        action: str,
        reason: str,
        change: Change | None,
        then: Then | None = None,
    ) -> None:
        """Commit a decision, and let it take effect. Switches. Raises Refusal.

        A muted user may decide as ever, but give no reason.
        """
        if reason:
            case.session.check_may_speak(case.now, case.room)
        self._acts.decide(
            case.session,
            case.room,
            facts,
            action,
            case.target.name,
            change,
            reason=reason,
            check=case.check_rank_as_written,
            then=then,
        )
