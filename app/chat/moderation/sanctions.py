"""Sanctions of users and networks on the whole server.

An act is written first, with its record in the audit. It takes effect when it is committed, in one
atomic stretch: the rules in force change, and the sessions of the banned end and are told why.
Their transfers over HTTP end too, and the rights to begin one. From then on every way in is shut.
If the write fails, nothing has changed. Acts are done one at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from gevent.lock import RLock

from app.bounds import SERVER_SANCTIONS_MAX, SERVER_SANCTIONS_OF_ONE_MAX
from app.chat.accounts.server_bans import Target
from app.errors import Code, Forbidden, NotPossible, Unavailable
from app.protocol import moderation
from app.queries import sanctions as queries
from app.values.names import harmless, parse_name
from app.values.networks import parse_network, read_address
from app.values.times import check_reason

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.chat.accounts.accounts import Accounts
    from app.chat.accounts.endings import Endings
    from app.chat.accounts.server_bans import InForce
    from app.engine.decisions import Change
    from app.engine.kit import Handlers, Kit
    from app.engine.presence import Session
    from app.engine.tickets import Tickets
    from app.protocol.event import Ended
    from app.queries.rooms import SanctionKind


_A_USER = "@"  # before a name that could be an address


class _Case(NamedTuple):
    """An act to be done: its session, its target and its time."""

    session: Session
    target: Target
    now: int


class Sanctions:
    """The acts of admins and of the operator. All of them switch, and raise Refusal."""

    def __init__(
        self,
        kit: Kit,
        accounts: Accounts,
        in_force: InForce,
        tickets: Tickets,
        endings: Endings,
    ) -> None:
        self._database, self._clock, self._acts = kit.database, kit.clock, kit.acts
        self._present, self._end = kit.present, kit.end
        self._accounts = accounts
        self._in_force = in_force
        self._tickets = tickets
        self._endings = endings
        self._deciding = RLock()

    def handlers(self) -> Handlers:
        """Return the method that carries out each command."""
        return {
            moderation.ServerKick: self.kick,
            moderation.ServerBan: self.ban,
            moderation.ServerUnban: self.unban,
            moderation.ServerMute: self.mute,
            moderation.ServerUnmute: self.unmute,
            moderation.ServerBans: self.bans,
        }

    def kick(self, session: Session, command: moderation.ServerKick) -> None:
        """End all sessions of a user, or from a network. They may come back."""
        with self._case(session, command.target) as case:
            if not self._sessions_of(case.target):
                raise NotPossible(f"there is no session of {case.target.name}", code="not_here")
            reason = harmless(command.reason)
            self._write(case, "server kick", reason)
            ended = self._send_away(case.target, moderation.EndedByKick(reason))
            session.client.show(moderation.ServerKicked(case.target.name, ended))

    def ban(self, session: Session, command: moderation.ServerBan) -> None:
        """Ban a user or a network from the server, timed or not."""
        with self._case(session, command.target) as case:
            ban = self._put(case, "ban", command.seconds, command.reason)
            ended = self._send_away(case.target, _banned(ban))
            session.client.show(moderation.ServerBanned(case.target.name, command.seconds, ended))

    def mute(self, session: Session, command: moderation.ServerMute) -> None:
        """Mute a user or a network on the server, timed or not."""
        with self._case(session, command.target) as case:
            mute = self._put(case, "mute", command.seconds, command.reason)
            sessions = self._follow_mutes(case)
            for user_id in _user_ids(case.target, sessions):
                self._tickets.revoke_uploads(user_id)
            for each in sessions:
                if each.speaker.away:
                    each.speaker.away = ""  # they are still shown as away, but without their note
                each.client.show(moderation.MutedEverywhere(mute.reason, mute.until))
            session.client.show(moderation.ServerMuted(case.target.name, command.seconds))

    def unban(self, session: Session, command: moderation.ServerUnban) -> None:
        """End the ban of a user or a network."""
        with self._case(session, command.target) as case:
            self._lift(case, "ban")
            session.client.show(moderation.ServerUnbanned(case.target.name))

    def unmute(self, session: Session, command: moderation.ServerUnmute) -> None:
        """End the mute of a user or a network."""
        with self._case(session, command.target) as case:
            self._lift(case, "mute")
            for each in self._follow_mutes(case):
                if each.mute is None:
                    each.client.show(moderation.UnmutedEverywhere())
            session.client.show(moderation.ServerUnmuted(case.target.name))

    def bans(self, session: Session, command: moderation.ServerBans) -> None:
        """Show a page of the server's bans and mutes."""
        after, count, now = _after(command.after), command.count, self._clock()
        found, has_more = self._database.read(lambda each: queries.page(each, after, count, now))
        bans, mutes = ([each for of, each in found if of == kind] for kind in ("ban", "mute"))
        last = (found[-1][1].user or found[-1][1].network) if has_more else ""
        session.client.show_at_leisure(
            moderation.ServerSanctionsListed(bans, mutes, has_more, last, command.after)
        )

    def ban_of(self, address: str) -> Ended | None:
        """Return what ends sessions of a banned address; None without a ban. Never switches."""
        ban = self._in_force.ban_of_address(address, self._clock())
        return None if ban is None else _banned(ban)

    @contextmanager
    def _case(self, session: Session, target_text: str) -> Iterator[_Case]:
        """Wait for the turn of an act, and check its rights. Switches.

        Raises Refusal.
        """
        with self._deciding:
            target = self._target(target_text)
            session.check_is_admin()  # again: the session had to wait for its turn
            self._check_rank(session, target)
            yield _Case(session, target, self._clock())

    def _target(self, text: str) -> Target:
        """Return the target that a text means. Switches. Raises Refusal."""
        network = None if text.startswith(_A_USER) else parse_network(text)
        if network is not None:
            return Target(None, network)
        return Target(self._accounts.find(text.removeprefix(_A_USER)), None)

    def _check_rank(self, session: Session, target: Target) -> None:
        """Raise Refusal when an act would hit its author or an admin."""
        if session.is_operator:
            return
        hit = {each.user for each in self._sessions_of(target) if each.user}
        if session.user in hit or target.key == session.speaker.id:
            raise NotPossible("you can't do that to yourself", code="yourself")
        if target.account is not None and target.account.is_admin:
            raise Forbidden(f"{target.name} is an admin", code="not_allowed")
        for user in hit:
            if user.is_admin:
                raise Forbidden(f"{user.name} is an admin, and there", code="not_allowed")

    def _sessions_of(self, target: Target) -> Sequence[Session]:
        """Return the sessions of a user, or of a network, also before login."""
        if target.account is not None:
            user = self._accounts.user_here(target.account.id)
            return list(user.sessions) if user else ()
        return [each for each in self._present.sessions if _is_in(each.client.address, target)]

    def _put(
        self, case: _Case, kind: SanctionKind, seconds: int | None, reason: str
    ) -> moderation.ServerSanction:
        """Write a ban or mute, and put it in force. Switches. Raises Refusal."""
        check_reason(seconds, reason)
        self._check_share(case, kind)
        target, reason = case.target, harmless(reason)
        until = None if seconds is None else case.now + seconds * 1000
        new = queries.NewServerSanction(
            kind, *_ids(target), case.session.speaker.account_id, reason, case.now, until
        )

        def change(connection: Connection) -> None:
            queries.put(connection, new)

        both: Change = change
        if kind == "ban" and target.account is not None:
            both = self._endings.ending_tokens(target.account.id, change)
        self._write(case, f"server {kind}", reason, both)
        user, network = target.account.name if target.account else "", new.network or ""
        made = moderation.ServerSanction(user, case.session.speaker.name, reason, until, network)
        self._in_force.put(kind, target, made, case.now)
        return made

    def _check_share(self, case: _Case, kind: SanctionKind) -> None:
        """Raise Unavailable when all admins, or this one, made too many."""
        session = case.session
        if self._in_force.count(kind, case.now) >= SERVER_SANCTIONS_MAX:
            raise Unavailable(
                f"there are {SERVER_SANCTIONS_MAX} of these; end some, or take a wider prefix",
                code="full",
            )
        mine = self._in_force.count(kind, case.now, session.speaker.name)
        if mine >= SERVER_SANCTIONS_OF_ONE_MAX and not session.is_operator:
            raise Unavailable(
                f"you made {SERVER_SANCTIONS_OF_ONE_MAX} of these; "
                "end some, or take a wider prefix",
                code="full",
            )

    def _lift(self, case: _Case, kind: SanctionKind) -> None:
        """End a ban or a mute that is in force. Switches. Raises Refusal."""
        target = case.target
        if self._in_force.find(kind, target, case.now) is None:
            code: Code = "no_ban" if kind == "ban" else "no_mute"
            raise NotPossible(f"there is no {kind} on {target.name}", code=code)
        remove = queries.remove
        self._write(case, f"server un{kind}", "", lambda each: remove(each, kind, *_ids(target)))
        self._in_force.remove(kind, target)

    def _follow_mutes(self, case: _Case) -> Sequence[Session]:
        """Set the mute in force on a target's sessions; return them."""
        sessions = [each for each in self._sessions_of(case.target) if each.user]
        for each in sessions:
            each.mute = self._in_force.mute_of(each.speaker.id, each.client.address, case.now)
        return sessions

    def _send_away(self, target: Target, last_words: Ended) -> int:
        """End all that a target has under way; return the number of sessions. Never switches."""
        if target.account is not None:
            return self._endings.end(target.account.id, last_words)
        return self._shut_out(target, last_words)

    def _shut_out(self, target: Target, last_words: Ended) -> int:
        """End all connections from a network. Accounts keep what they have elsewhere."""
        sessions = self._sessions_of(target)
        for user_id in _user_ids(target, sessions):
            self._tickets.revoke_everywhere(user_id)
        for session in sessions:
            self._end(session, last_words)
        for visitor in list(self._present.visitors):
            if _is_in(visitor.address, target):
                visitor.cut()
        return len(sessions)

    def _write(self, case: _Case, action: str, reason: str, change: Change | None = None) -> None:
        """Commit an act and its record together. Switches. Raises Refusal."""
        if reason:
            case.session.check_may_speak(case.now)
        self._acts.write(
            case.session, action, case.target.name, change, reason=reason, speaks=bool(reason)
        )


def _is_in(address: str, target: Target) -> bool:
    return target.network is not None and read_address(address) in target.network


def _banned(ban: moderation.ServerSanction) -> Ended:
    return moderation.EndedByBan(bool(ban.network), ban.reason, ban.until)


def _user_ids(target: Target, sessions: Iterable[Session]) -> set[int]:
    """Return the ids of users whose rights an act touches: a target, here or not, and sessions'."""
    here = {each.user.id for each in sessions if each.user}
    return here | {target.account.id} if target.account else here


def _ids(target: Target) -> tuple[int | None, str | None]:
    """Return a target as the database has it: (user id, network), one of them None."""
    if target.account is not None:
        return target.account.id, None
    return None, str(target.network)


def _after(text: str) -> str:
    """Return the sort key of a page's last target: a network, or the key of a name."""
    return parse_name(text).key if text and "/" not in text else text
