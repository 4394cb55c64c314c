"""Sanctions of users and networks on the whole server.

An act is an entry of the journal, written with its record in the audit. It takes effect where it is
released, in one atomic stretch: the rules in force change, and the sessions of the banned end and
are told why. Their transfers over HTTP end too, and the rights to begin one. From then on every way
in is shut. If the write fails, nothing has changed. Acts are done one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from gevent.lock import RLock

from app.bounds import SERVER_SANCTIONS_MAX, SERVER_SANCTIONS_OF_ONE_MAX
from app.engine import server_facts
from app.engine.server_bans import Target
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
    from app.engine.decisions import Change
    from app.engine.delivery import Delivery
    from app.engine.entries import Then
    from app.engine.kit import Handlers, Kit
    from app.engine.presence import Session
    from app.engine.server_bans import InForce
    from app.engine.server_facts import ServerFact
    from app.engine.tickets import Tickets
    from app.protocol.event import Done, Ended
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
            fact = server_facts.ServerKicked(*case.target.ids, reason)
            done = partial(moderation.ServerKicked, case.target.name)
            self._send_away(case, fact, moderation.EndedByKick(reason), done, "server kick")

    def ban(self, session: Session, command: moderation.ServerBan) -> None:
        """Ban a user or a network from the server, timed or not."""
        with self._case(session, command.target) as case:
            ban, change = self._new(case, "ban", command.seconds, command.reason)
            if case.target.account is not None:
                change = self._endings.ending_tokens(case.target.account.id, change)
            done = partial(moderation.ServerBanned, case.target.name, command.seconds)
            self._send_away(case, ban, _banned(ban.terms), done, "server ban", change)

    def mute(self, session: Session, command: moderation.ServerMute) -> None:
        """Mute a user or a network on the server, timed or not."""
        with self._case(session, command.target) as case:
            mute, change = self._new(case, "mute", command.seconds, command.reason)

            def silence(_delivery: Delivery) -> None:
                sessions = self._follow_mutes(case)
                for user_id in _user_ids(case.target, sessions):
                    self._tickets.revoke_uploads(user_id)
                for each in sessions:
                    if each.speaker.away:
                        each.speaker.away = ""  # still away, but without their note
                    each.client.show(moderation.MutedEverywhere(mute.reason, mute.until))

            self._decide(case, mute, "server mute", change, silence)
            session.client.show(moderation.ServerMuted(case.target.name, command.seconds))

    def unban(self, session: Session, command: moderation.ServerUnban) -> None:
        """End the ban of a user or a network."""
        with self._case(session, command.target) as case:
            self._lift(case, "ban")
            session.client.show(moderation.ServerUnbanned(case.target.name))

    def unmute(self, session: Session, command: moderation.ServerUnmute) -> None:
        """End the mute of a user or a network."""
        with self._case(session, command.target) as case:

            def give_voice(_delivery: Delivery) -> None:
                for each in self._follow_mutes(case):
                    if each.mute is None:
                        each.client.show(moderation.UnmutedEverywhere())

            self._lift(case, "mute", give_voice)
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

    def _new(
        self, case: _Case, kind: SanctionKind, seconds: int | None, reason: str
    ) -> tuple[server_facts.Sanctioned, Change]:
        """Return a new ban or mute, and what writes it. Raises Refusal."""
        check_reason(seconds, reason)
        self._check_share(case, kind)
        (user_id, network), by, reason = case.target.ids, case.session.speaker, harmless(reason)
        until = None if seconds is None else case.now + seconds * 1000
        user = case.target.account.name if case.target.account else ""
        new = queries.NewServerSanction(
            kind, user_id, network or None, by.account_id, reason, case.now, until
        )
        made = server_facts.Sanctioned(
            kind, user_id, user, network, by.name, reason, case.now, until
        )
        return made, lambda connection: queries.put(connection, new)

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

    def _lift(self, case: _Case, kind: SanctionKind, then: Then | None = None) -> None:
        """End a ban or a mute that is in force. Switches. Raises Refusal."""
        target, (user_id, network) = case.target, case.target.ids
        if self._in_force.find(kind, target, case.now) is None:
            code: Code = "no_ban" if kind == "ban" else "no_mute"
            raise NotPossible(f"there is no {kind} on {target.name}", code=code)

        def change(connection: Connection) -> None:
            queries.remove(connection, kind, user_id, network or None)

        self._decide(
            case, server_facts.Lifted(kind, user_id, network), f"server un{kind}", change, then
        )

    def _follow_mutes(self, case: _Case) -> Sequence[Session]:
        """Set the mute in force on a target's sessions; return them."""
        sessions = [each for each in self._sessions_of(case.target) if each.user]
        for each in sessions:
            each.mute = self._in_force.mute_of(each.speaker.id, each.client.address, case.now)
        return sessions

    def _send_away(
        self,
        case: _Case,
        fact: server_facts.ServerKicked | server_facts.Sanctioned,
        last_words: Ended,
        done: Callable[[int], Done],
        action: str,
        change: Change | None = None,
    ) -> None:
        """End all that a target has under way, by an act; say how many sessions it was.

        Switches. Raises Refusal.
        """
        target = case.target

        def end(_delivery: Delivery) -> None:
            if target.account is not None:
                ended = self._endings.end(target.account.id, last_words)
            else:
                ended = self._shut_out(target, last_words)
            case.session.client.show(done(ended))

        self._decide(case, fact, action, change, end)

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

    def _decide(
        self,
        case: _Case,
        fact: ServerFact,
        action: str,
        change: Change | None,
        then: Then | None,
    ) -> None:
        """Commit an act, and let it take effect. Switches. Raises Refusal."""
        reason = getattr(fact, "reason", "")
        if reason:
            case.session.check_may_speak(case.now)
        self._acts.decide(
            case.session, None, [fact], action, case.target.name, change, reason=reason, then=then
        )


def _is_in(address: str, target: Target) -> bool:
    return target.network is not None and read_address(address) in target.network


def _banned(ban: moderation.ServerSanction) -> Ended:
    return moderation.EndedByBan(bool(ban.network), ban.reason, ban.until)


def _user_ids(target: Target, sessions: Iterable[Session]) -> set[int]:
    """Return the ids of users whose rights an act touches: a target, here or not, and sessions'."""
    here = {each.user.id for each in sessions if each.user}
    return here | {target.account.id} if target.account else here


def _after(text: str) -> str:
    """Return the sort key of a page's last target: a network, or the key of a name."""
    return parse_name(text).key if text and "/" not in text else text
