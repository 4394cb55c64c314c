"""Moderation of rooms: sending users out, keeping them out, and keeping them silent.

A decision is written first, with its record in the audit. It takes effect when it is committed, in
one atomic stretch: the rule changes, banned users leave, and the room is shown why. If the write
fails, nothing has changed. Decisions about one room are made one at a time, each checked against
the result of the one before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from app.bounds import MODERATORS_A_ROOM_MAX, SANCTIONS_A_ROOM_MAX
from app.chat.rooms.rooms import Rooms
from app.engine import apply
from app.engine.decisions import check_is_there
from app.engine.entries import Shown
from app.engine.presence import Room
from app.engine.tickets import Tickets
from app.errors import Code, Forbidden, NotPossible, Remedy, Unavailable
from app.protocol import moderation
from app.protocol.event import RoomEvent
from app.queries import rooms as queries
from app.queries.rooms import SanctionKind
from app.values.names import harmless, parse_name
from app.values.times import check_reason

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.chat.accounts.accounts import Accounts
    from app.chat.rooms.members import Rosters
    from app.engine.decisions import Change
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
        self._database, self._journal = kit.database, kit.journal
        self._clock, self._acts = kit.clock, kit.acts
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
            room, target, reason = case.room, case.target, harmless(command.reason)
            user = self._accounts.user_here(target.id)
            is_there = user is not None and user in room.present
            if not is_there and not room.has_member(target.id):
                raise NotPossible(f"{target.name} is not in {room.name}", code="not_here")
            self._write(case, "kick", reason, self._rosters.removing(room, target.id, None))
            fact = moderation.Kicked(room.name, target.name, case.by.name, reason)
            self._send_out(case, fact)

    def ban(self, session: Session, command: moderation.Ban) -> None:
        """Ban a user from the room, for a time or for good."""
        with self._case(session, command, "moderator") as case:
            check_reason(command.seconds, command.reason)
            room, target, reason = case.room, case.target, harmless(command.reason)
            self._sanction(case, "ban", command.seconds, reason)
            fact = moderation.Banned(room.name, target.name, case.by.name, command.seconds, reason)
            self._send_out(case, fact)

    def mute(self, session: Session, command: moderation.Mute) -> None:
        """Mute a user in the room, for a time or for good."""
        with self._case(session, command, "moderator") as case:
            check_reason(command.seconds, command.reason)
            room, target, reason = case.room, case.target, harmless(command.reason)
            self._sanction(case, "mute", command.seconds, reason)
            fact = moderation.Muted(room.name, target.name, case.by.name, command.seconds, reason)
            self._show(case, fact)

    def unban(self, session: Session, command: moderation.Unban) -> None:
        """End a user's ban."""
        with self._case(session, command, "moderator") as case:
            self._lift(case, "ban")
            self._show(case, moderation.Unbanned(case.room.name, case.target.name, case.by.name))

    def unmute(self, session: Session, command: moderation.Unmute) -> None:
        """End a user's mute."""
        with self._case(session, command, "moderator") as case:
            self._lift(case, "mute")
            self._show(case, moderation.Unmuted(case.room.name, case.target.name, case.by.name))

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
            add = queries.add_moderator
            self._write(case, "promote", "", lambda each: add(each, room.id, target.id))
            apply.promote(room, target.id)
            self._show(case, moderation.Promoted(room.name, target.name, case.by.name))

    def demote(self, session: Session, command: moderation.Demote) -> None:
        """Take the role of moderator from a user."""
        with self._case(session, command, "owner") as case:
            room, target = case.room, case.target
            if target.id not in room.moderator_ids:
                raise NotPossible(f"{target.name} is no moderator", code="is_no_moderator")
            remove = queries.remove_moderator
            self._write(case, "demote", "", lambda each: remove(each, room.id, target.id))
            apply.demote(room, target.id)
            self._show(case, moderation.Demoted(room.name, target.name, case.by.name))

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
            self._acts.write(
                session,
                "topic",
                change=lambda connection: queries.set_topic(connection, room.id, topic),
                room=room.name,
                reason=topic,
                check=lambda each: check(queries.role_of(each, room.id, user.id)),
                speaks=True,
            )
            apply.set_topic(room, topic)
            self._journal.append(
                Shown(session, room, moderation.TopicSet(room.name, user.name, topic))
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

    def _sanction(self, case: _Case, kind: SanctionKind, seconds: int | None, reason: str) -> None:
        """Write a ban or a mute; put it in force. Switches. Raises Refusal."""
        room, target, now = case.room, case.target, case.now
        until = None if seconds is None else now + seconds * 1000
        apply.drop_expired(room, now)
        if len(room.sanctions[kind]) >= SANCTIONS_A_ROOM_MAX and (
            target.id not in room.sanctions[kind]
        ):
            raise Unavailable(
                f"{room.name} has {SANCTIONS_A_ROOM_MAX} of these; end some, and try again",
                code="full",
            )

        def change(connection: Connection) -> None:
            sanction = queries.NewSanction(
                kind, room.id, target.id, case.by.account_id, reason, now, until
            )
            queries.put_sanction(connection, sanction)
            if kind == "ban":
                queries.remove_moderator(connection, room.id, target.id)

        both = self._rosters.removing(room, target.id, change) if kind == "ban" else change
        self._write(case, kind, reason, both)
        terms = moderation.Sanction(target.name, case.by.name, reason, until)
        apply.sanction(room, kind, target.id, terms)

    def _lift(self, case: _Case, kind: SanctionKind) -> None:
        """End a ban or a mute that is in force. Switches. Raises Refusal."""
        room, target = case.room, case.target
        if room.sanction(kind, target.id, case.now) is None:
            code: Code = "no_ban" if kind == "ban" else "no_mute"
            raise NotPossible(f"there is no {kind} on {target.name}", code=code)
        remove = queries.remove_sanction
        self._write(case, f"un{kind}", "", lambda each: remove(each, kind, room.id, target.id))
        apply.lift(room, kind, target.id)

    def _write(self, case: _Case, action: str, reason: str, change: Change | None = None) -> None:
        """Commit a decision and its record together. Switches. Raises Refusal.

        A muted user may decide as ever, but give no reason.
        """
        if reason:
            case.session.check_may_speak(case.now, case.room)
        self._acts.write(
            case.session,
            action,
            case.target.name,
            change,
            room=case.room.name,
            reason=reason,
            check=case.check_rank_as_written,
            speaks=bool(reason),
        )

    def _show(self, case: _Case, fact: RoomEvent) -> None:
        self._journal.append(Shown(case.session, case.room, fact))

    def _send_out(self, case: _Case, fact: moderation.Kicked | moderation.Banned) -> None:
        user = self._accounts.user_here(case.target.id)  # looked up now: the write has switched
        self._tickets.revoke(case.room.id, case.target.id)
        self._rooms.send_out(case.room, user, sender=case.session, fact=fact)
        self._rosters.note_removal(case.session, case.room, case.target.id, case.target.name)
