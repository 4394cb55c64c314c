"""Events as people read them: one function an event, which returns its line or lines.

Text of others was made harmless when it came in, and names are harmless by their rules. A refusal
may repeat text that its reader typed, and is made harmless here.
"""

import base64
import re
import shlex
from collections.abc import Callable, Iterable
from typing import Any

from app.bounds import BLANKS_SHOWN_MAX, TAB_COLUMNS
from app.errors import BadLine
from app.protocol import accounts, files, moderation, removal, rooms, server, talk
from app.protocol.event import Event
from app.values.names import harmless
from app.values.sizes import format_count, format_size
from app.values.times import format_seconds, format_uptime, how_long, minute, minute_since
from app.wires.text.help import help_lines
from app.wires.text.typed_lines import UNSEEN
from app.wires.words import SENTENCES, because, kept, sentence

_ENCRYPTED = "[encrypted; open this room with: manage.py chat]"


def render(event: Event) -> bytes:
    """Return an event as bytes; every line ends in CR LF."""
    shown = _SHOWN[type(event)](event)
    lines = (shown,) if isinstance(shown, str) else shown
    return "".join([f"{closed_up(line)}\r\n" for line in lines]).encode()


# Blank on a screen, or nothing there: neither ends a run of blanks. One alone is never too long.
_BLANKS = re.compile(f"[{UNSEEN} ][{UNSEEN} ]+")
_TOO_MANY = " " * (BLANKS_SHOWN_MAX + 1)


def closed_up(line: str) -> str:
    """Shorten runs of blanks: at the edge of a screen, text after one would look like a line."""
    if line.isascii() and _TOO_MANY not in line and "\t" not in line:
        return line
    return _BLANKS.sub(_shortened, line)


def _shortened(blanks: re.Match[str]) -> str:
    is_long = len(blanks[0].expandtabs(TAB_COLUMNS)) > BLANKS_SHOWN_MAX
    return " " * BLANKS_SHOWN_MAX if is_long else blanks[0]


def render_dated(event: talk.Message | files.FileShared) -> bytes:
    """Return a room's event as a line of a file, with its time."""
    return f"[{minute(event.at)}] {_SHOWN[type(event)](event)}\n".encode()


def _said(event: talk.Message) -> str:
    if isinstance(event, talk.SaidEncrypted):
        return f"{event.user}: {_ENCRYPTED}"
    return f"* {event.user} {event.body}" if event.is_action else f"{event.user}: {event.body}"


def _replayed(messages: Iterable[talk.Message], now: int) -> Iterable[str]:
    return (f"[{minute_since(said.at, now)}] {_said(said)}" for said in messages)


def _done_to(event: Any, what: str) -> str:
    return f"{event.user} was {what} by {event.by}"


def _kicked(event: moderation.Kicked) -> str:
    return f"{_done_to(event, 'kicked')}{because(event.reason)}."


def _banned(event: moderation.Banned) -> str:
    return f"{_done_to(event, 'banned')} {how_long(event.seconds)}{because(event.reason)}."


def _muted(event: moderation.Muted) -> str:
    return f"{_done_to(event, 'muted')} {how_long(event.seconds)}{because(event.reason)}."


def _connected(event: server.Connected) -> Iterable[str]:
    yield "Greenroom: a chat server that remembers."
    if event.needs_tls:
        yield "Logging in needs TLS: openssl s_client -quiet -connect HOST:PORT, to this same port."
        return
    if event.is_registration_open:
        yield "Log in with your name. New here? Type /register NAME. Lost? Type /help."
    else:
        yield "Log in with your name. Accounts are made by the operator. Lost? Type /help."


def greeting(event: accounts.LoggedIn, *, says_name: bool = False) -> str:
    """Return the greeting of a user; `says_name` also says which part of the line is the name."""
    name = f"; your name is {event.user}, and the rest of that line is your password"
    return (
        f"Hello, {event.user}{name if says_name else ''}. "
        "Enter a room with /join ROOM; /rooms shows them, /help the rest."
    )


def _entered(event: rooms.Entered) -> Iterable[str]:
    yield f"Welcome to room {event.room}!"
    yield f"Current users: {', '.join(event.users)}"
    if event.e2ee:
        yield "This room is encrypted; to read it and to talk, open it with: manage.py chat"
    yield from _replayed(event.messages, event.now)
    if event.topic:
        yield f"Topic: {event.topic}"


def _sent_out(event: moderation.SentOut) -> str:
    fact = event.fact
    if isinstance(fact, moderation.Banned):
        what, ending = "banned", f" {how_long(fact.seconds)}"
    else:
        what, ending = "kicked", ""
    return f"You were {what} from {fact.room} by {fact.by}{ending}{because(fact.reason)}."


def _privately_said(event: talk.PrivateMessage) -> str:
    if isinstance(event, talk.PrivatelySaidEncrypted):
        return f"[private] {event.user}: {_ENCRYPTED}"
    return f"[private] {event.user}: {event.body}"


def _privately_sent(event: talk.PrivatelySent) -> Iterable[str]:
    yield f"[private to {event.recipient}] {event.body}"
    if event.away is not None:
        yield f"{event.recipient} is away{because(event.away)}."


def _mail(event: talk.MailShown) -> Iterable[str]:
    if event.older:
        yield sentence(talk.OlderMailKept(event.older))
    for said in event.messages:
        yield f"[{minute_since(said.at, event.now)}] {_privately_said(said)}"


def _history(event: talk.HistoryShown) -> Iterable[str]:
    if event.has_more:
        yield "There is more before this; type /history again."
    elif not event.messages:
        yield f"There is nothing earlier in {event.room}."
    yield from _replayed(event.messages, event.now)


def _none_after(after: str, word: str) -> str:
    return f"There are no more after {harmless(after)}; /{word} shows them from the start."


def _people(event: rooms.PeopleListed) -> Iterable[str]:
    if event.after and not event.people:
        yield _none_after(event.after, "who")
        return
    after = f", after {harmless(event.after)}" if event.after else ""
    yield f"In {event.room}{after}:"
    for person in event.people:
        away = f", away{because(person.away)}" if person.away is not None else ""
        role = f", {person.role}" if person.role else ""
        yield f"  {person.name}{role}{away}"
    if event.has_more:
        yield f"There are more: /who {event.people[-1].name}"


def _encrypted(event: rooms.Encrypted) -> str:
    return (
        f"{event.user} made this room encrypted; from now on it is read, and talked in, "
        "with: manage.py chat"
    )


def _roster(event: rooms.RosterShown) -> Iterable[str]:
    if event.after and not event.members:
        yield _none_after(event.after, "roster")
        return
    how = "is encrypted for" if event.e2ee else "is not encrypted; in it are"
    yield f"{event.room} {how}: {', '.join(event.members)}"
    if event.has_more:
        yield f"There are more: /roster {event.members[-1]}"


def _rooms(event: rooms.RoomsListed) -> Iterable[str]:
    if not event.rooms:
        none = "There is no room yet; /join ROOM makes one."
        yield _none_after(event.after, "rooms") if event.after else none
    for room in event.rooms:
        topic = f": {room.topic}" if room.topic else ""
        yield f"  {room.name} ({room.users}){topic}"
    if event.has_more:
        yield f"There are more: /rooms {event.rooms[-1].name}"


def _sanction(who: str, what: str, sanction: moderation.Sanction) -> str:
    until = "for good" if sanction.until is None else f"until {minute(sanction.until)} UTC"
    return f"  {who} is {what} {until}, by {sanction.by}{because(sanction.reason)}"


def _sanctions(event: moderation.SanctionsListed) -> Iterable[str]:
    if event.after and not (event.bans or event.mutes):
        yield _none_after(event.after, "bans")
    for what, sanctions in (("banned", event.bans), ("muted", event.mutes)):
        if not (sanctions or event.has_more or event.after):
            yield f"Nobody is {what} in {event.room}."
        for each in sanctions:
            yield _sanction(each.user, what, each)
    if event.has_more:
        yield f"There are more: /bans {event.last}"


def _server_sanctions(event: moderation.ServerSanctionsListed) -> Iterable[str]:
    if event.after and not (event.bans or event.mutes):
        yield _none_after(event.after, "serverbans")
    for what, sanctions in (("banned from", event.bans), ("muted on", event.mutes)):
        if not (sanctions or event.has_more or event.after):
            yield f"Nobody is {what} this server."
        for each in sanctions:
            yield _sanction(each.user or each.network, f"{what} this server", each)
    if event.has_more:
        yield f"There are more: /serverbans {event.last}"


def _ignored(event: talk.IgnoredListed) -> Iterable[str]:
    yield f"You ignore: {', '.join(event.users)}" if event.users else "You ignore nobody."
    if event.has_more:
        yield "There are more; /unignore some, and they are shown."


def _topic_set(event: moderation.TopicSet) -> str:
    if event.topic:
        return f"{event.user} set the topic: {event.topic}"
    return f"{event.user} took the topic away."


def _topic(event: moderation.TopicShown) -> str:
    if event.topic:
        return f"Topic of {event.room}: {event.topic}"
    return f"{event.room} has no topic; /topic TEXT sets one."


def _tokens(event: accounts.TokensListed) -> Iterable[str]:
    if not event.tokens:
        yield "Nothing logs in as you without your password."
    for token in event.tokens:
        made, used = minute(token.made_at), minute(token.used_at)
        yield f"  {token.number}: {token.label}, made {made} UTC, used {used} UTC"


def _file_sent(event: files.FileShared | files.FileSent) -> str:
    private = f"[private to {event.recipient}] " if isinstance(event, files.FileSent) else ""
    return f"{private}{event.user} shares {event.name} ({format_size(event.size)}): /get {event.id}"


def _upload_offered(event: files.UploadOffered) -> str:
    path = f"./{event.path}" if event.path.startswith("-") else event.path
    as_it_is = "-g " if set(path) & set("[]{}") else ""  # else curl takes these as patterns
    return f"curl -T {shlex.quote(path)} {as_it_is}{event.server}{event.url}"


def _download_offered(event: files.DownloadOffered) -> Iterable[str]:
    # A used address answers with a refusal: without -f it would take the place of the file.
    yield f"curl -f -o {shlex.quote(event.name)} {event.server}{event.url}"
    yield f"  {event.size} bytes, sha256 {event.sha256}"


def _files(event: files.FilesListed) -> Iterable[str]:
    if event.has_more:
        yield f"There are older ones: /files {event.before_id}"
    elif not event.files:
        yield "There are no files here."
    for file in event.files:
        who = f"{file.user} to {file.recipient}" if file.recipient else file.user
        yield f"  {file.id}: {file.name} ({format_size(file.size)}), {who}, {minute(file.at)} UTC"


def _file_printed(event: files.FilePrinted) -> Iterable[str]:
    file, text = event.file, base64.b64encode(event.data).decode()
    yield f"{file.name}, {file.size} bytes, sha256 {file.sha256}:"
    yield from (text[start : start + 76] for start in range(0, len(text), 76))
    yield "."


def _accounts(event: accounts.AccountsListed) -> Iterable[str]:
    for account in event.accounts:
        gone = ", deleted" if account.is_deleted else ", disabled"
        what = (", admin" if account.is_admin else "") + (gone if account.is_disabled else "")
        yield f"  {account.name}{what}, made {minute(account.made_at)} UTC"
    if event.has_more:
        yield f"There are more: /users {event.accounts[-1].name}"
    elif not event.accounts:
        yield "There are no more accounts."


def _room_records(event: rooms.RoomRecordsListed) -> Iterable[str]:
    for room in event.rooms:
        kept = f", kept for {room.retention_days} days" if room.retention_days is not None else ""
        topic = f": {room.topic}" if room.topic else ""
        made = f"made {minute(room.made_at)} UTC"
        e2ee = ", encrypted" if room.e2ee else ""
        owner = room.owner or "nobody"
        yield f"  {room.name} ({room.users}), of {owner}, {made}{kept}{e2ee}{topic}"
    if event.has_more:
        yield f"There are more: /roomlist {event.rooms[-1].name}"
    elif not event.rooms:
        yield "There are no more rooms."


def _sessions(event: accounts.SessionsListed) -> Iterable[str]:
    for each in event.sessions:
        where = f", in {', '.join(each.rooms)}" if each.rooms else ""
        unread = f", {format_size(each.unread_bytes)} unread" if each.unread_bytes else ""
        who = f"{each.user or 'nobody yet'} from {each.address}, {each.wire}"
        since = f"since {minute(each.connected_at)} UTC"
        this = ", this one" if each.is_this else ""
        yield f"  {each.number}: {who}, {since}{where}{unread}{this}"
    if event.has_more:
        yield f"There are more: /sessions {event.sessions[-1].number}"
    elif not event.sessions:
        yield "There are no more sessions."


def _retention(event: removal.RetentionListed) -> Iterable[str]:
    yield f"Messages are kept {kept(event.days)}{', but:' if event.rooms else '.'}"
    for room in event.rooms:
        yield f"  {room.name}: {kept(room.days)}"
    if event.has_more:
        yield "There are more; manage.py retention shows all of them."


def _status(event: server.StatusShown) -> Iterable[str]:
    now, minute, seconds = event.now, event.minute, format_seconds
    storing = "messages are stored" if event.is_storing else "MESSAGES ARE NOT STORED"
    yield f"Greenroom {event.version}, up for {format_uptime(event.uptime_seconds)}: {storing}."
    for concern in event.concerns:
        yield f"! {concern.sentence}"
    if not event.concerns:
        yield "All is well."
    yield f"  {now.sessions} sessions of {now.users} users, in {now.live_rooms} rooms"
    yield (
        f"  {minute.messages_per_second:g} messages and {minute.deliveries_per_second:g} deliveries"
        f" a second, {seconds(minute.delivery_p99_seconds)} at most to 99% of the readers"
    )
    yield (
        f"  99% of commits take {seconds(minute.commit_p99_seconds)} at most; "
        f"{now.journal_entries} lines ({format_size(now.journal_bytes)}) wait for one; "
        f"{format_size(now.outbox_bytes)} are not read yet"
    )
    yield (
        f"  {minute.failed_logins} failed logins, {minute.readers_cut} readers cut, "
        f"{seconds(minute.hub_delay_max_seconds)} of waiting for the server at most"
    )
    yield (
        f"  {format_size(now.resident_bytes)} of memory, {now.open_files} of {now.open_files_max} "
        f"files open; the database has {format_size(now.database_bytes)}, its disk "
        f"{format_size(now.disk_free_bytes)} free"
    )


def _help(event: server.HelpShown) -> Iterable[str]:
    try:
        return help_lines(event.command, event.level)
    except BadLine as refusal:
        return [_refused(server.Refused.of(refusal))]


def _refused(event: server.Rejection) -> str:
    return f"Error: {harmless(sentence(event))}"


_SHOWN: dict[type[Event], Callable[[Any], str | Iterable[str]]] = {
    talk.Said: _said,
    talk.SaidEncrypted: _said,
    rooms.Joined: lambda event: f"{event.user} has joined the room.",
    rooms.Left: lambda event: f"{event.user} has left the room.",
    rooms.Disconnected: lambda event: f"{event.user} has disconnected.",
    moderation.Kicked: _kicked,
    moderation.Banned: _banned,
    moderation.Unbanned: lambda event: f"{_done_to(event, 'unbanned')}.",
    moderation.Muted: _muted,
    moderation.Unmuted: lambda event: f"{_done_to(event, 'unmuted')}.",
    moderation.Promoted: lambda event: f"{_done_to(event, 'made a moderator')}.",
    moderation.Demoted: lambda event: f"{_done_to(event, 'made a moderator no more')}.",
    moderation.TopicSet: _topic_set,
    removal.Purged: lambda event: (
        f"{event.user} removed {format_count(event.messages, 'message')}."
    ),
    rooms.Encrypted: _encrypted,
    rooms.RosterChanged: lambda event: (),
    server.Connected: _connected,
    accounts.LoggedIn: greeting,
    rooms.Entered: _entered,
    rooms.Departed: lambda event: f"You have left {event.room}.",
    moderation.SentOut: _sent_out,
    talk.PrivatelySaid: _privately_said,
    talk.PrivatelySaidEncrypted: _privately_said,
    talk.PrivatelySent: _privately_sent,
    talk.MailShown: _mail,
    talk.HistoryShown: _history,
    rooms.PeopleListed: _people,
    rooms.RosterShown: _roster,
    rooms.RoomsListed: _rooms,
    moderation.SanctionsListed: _sanctions,
    moderation.ServerSanctionsListed: _server_sanctions,
    talk.IgnoredListed: _ignored,
    moderation.TopicShown: _topic,
    accounts.TokensListed: _tokens,
    rooms.OwnerSet: lambda event: f"{_done_to(event, 'made the owner')}.",
    rooms.Renamed: lambda event: f"{event.user} renamed {event.room}: it is {event.name} now.",
    rooms.Deleted: lambda event: (
        f"{event.room} was deleted by {event.user}{because(event.reason)}."
    ),
    accounts.AccountsListed: _accounts,
    rooms.RoomRecordsListed: _room_records,
    accounts.SessionsListed: _sessions,
    files.FileShared: _file_sent,
    files.FileSent: _file_sent,
    files.UploadOffered: _upload_offered,
    files.DownloadOffered: _download_offered,
    files.FilesListed: _files,
    files.FilePrinted: _file_printed,
    removal.RetentionListed: _retention,
    server.StatusShown: _status,
    server.HelpShown: _help,
    server.SaidGoodbye: lambda event: "Goodbye.",
    **SENTENCES,
    **{kind: _refused for kind in SENTENCES if issubclass(kind, server.Rejection)},
}
