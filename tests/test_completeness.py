"""Nothing is forgotten: each command, event, refusal and limit is handled, shown and described."""

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from app.chat.service import Service, _merged
from app.client import client
from app.database.database import Database
from app.errors import BadNameError, Code, Help, Remedy
from app.protocol import (
    COMMANDS,
    EVENTS,
    accounts,
    devices,
    files,
    moderation,
    removal,
    rooms,
    server,
    talk,
)
from app.protocol.command import Command, Enc, InRoom, Level
from app.protocol.event import Answer, Done, Ended, Event, Noticed, RoomEvent
from app.protocol.moderation import Sanction, ServerSanction
from app.protocol.rooms import Person, RoomSummary
from app.protocol.signed import Signed
from app.settings import Settings
from app.values import times
from app.values.names import parse_new_name
from app.wires.ndjson import events as ndjson_events
from app.wires.text.commands import summary, usage
from app.wires.text.events import render
from app.wires.words import REMEDIES
from docs.tables import is_limit
from tests.conversations.test_conversations import FOLDER, pattern_of
from tests.kit.figures import BOB_IS_SLOW, LOAD, MINUTE
from tests.kit.program import check
from tests.kit.source import RefusalInSource, refusals_in_source

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PROTOCOL = "\n".join(page.read_text() for page in (ROOT / "docs" / "protocol").glob("*.md"))
TRANSCRIPTS = [line for path in FOLDER.glob("*.txt") for line in path.read_text().splitlines()]
TYPED = {match[1] for line in TRANSCRIPTS if (match := re.match(r"\S+ > (.*)", line))}
TOLD_PROGRAMS = {
    sentence
    for line in TRANSCRIPTS
    if (match := re.match(r"\S+ \| (\{.*\})$", line))
    for sentence in map(json.loads(match[1]).get, ("message", "sentence"))
    if sentence
}
SEEN = {match[1] for line in TRANSCRIPTS if (match := re.match(r"\S+ \| (.*)", line))}
TOLD = {pattern_of(line) for line in SEEN} | {re.escape(line) for line in TOLD_PROGRAMS}

REFUSALS = sorted(each for each in refusals_in_source() if each.sentence.strip(".*"))

# Refusals that no conversation can bring about at will, and where they are tested instead.
NOT_IN_A_CONVERSATION = {
    "the last place was just taken; try again": "tests/database/test_two_writers.py",
    "the server is busy; try again in a minute": "tests/attacks/test_logins.py",
    "too many of you are here; try again later": "tests/attacks/test_descriptors.py",
    "somebody is fetching from this address; try again in a minute": "tests/attacks/test_files.py",
    "bob has too much to read already; write again when they have read it": (
        "tests/chat/test_service.py"
    ),
    "not stored: the database's file is gone; tell the operator": (
        "tests/database/test_lost_database.py"
    ),
    "/dev/null is no empty file": "tests/database/test_lost_database.py",
    "the server can't copy to /x: full": "only a disk that fails while it copies",
    "this database is PostgreSQL's; back it up with: pg_dump -Fc DATABASE": (
        "manage.py says so before it asks a server"
    ),
    "not stored: the server is shutting down": "tests/engine/test_journal.py",
    "you are not in lobby any more": ("tests/chat/test_service.py"),
    "this is Greenroom, a chat server, and a name has letters, digits, _, - and . only"
    ": type your name, or /register NAME": "tests/wires/test_text.py",
    "something that can't be seen stands before that slash, so nobody was shown it; type it anew": (
        "tests/wires/test_text.py"
    ),
    "the account was changed meanwhile; log in again": ("tests/chat/test_service.py"),
    "you were muted on this server meanwhile": "tests/attacks/test_lost_rights.py",
    "you left over 4096 bytes unread; come back and read on": "tests/attacks/test_connections.py",
    "you are in too many rooms; leave one first": "tests/wires/test_ndjson.py",
    "PostgreSQL does that by itself; to have it done now, run: psql -c 'VACUUM'": (
        "tests/database/test_postgresql.py"
    ),
    "the log can't be emptied while something reads the database; try again": (
        "tests/chat/removal/test_purging.py"
    ),
    "log in over TLS: openssl s_client -quiet -connect HOST:PORT, to this same port": (
        "tests/net/test_tls.py"
    ),
    "something went wrong here; it was logged": "only a bug brings it about",
    "there is nothing at this address; ask for a new one": "tests/chat/files/test_files.py",
    "that is not as many bytes as was said": "tests/chat/files/test_files.py",
    "that is too large to be shown in lines; /get 17 fetches it": "tests/chat/files/test_files.py",
    "you were sent out or muted meanwhile": "tests/attacks/test_files.py",
    "you were sent away meanwhile": "tests/attacks/test_server_bans.py",
    "there are 10000 of these; end some, or take a wider prefix": (
        "tests/attacks/test_server_bans.py"
    ),
    "you share 1000 files, as many as anybody may; /unshare one first": (
        "tests/attacks/test_bounds.py"
    ),
    "lobby has 1000 of these; end some, and try again": "tests/attacks/test_bounds.py",
    "you made 2000 of these; end some, or take a wider prefix": "tests/attacks/test_bounds.py",
    "lobby has 100 moderators; /demote one first": "tests/attacks/test_bounds.py",
    "you ignore 500 users, as many as anybody may; /unignore one first": (
        "tests/attacks/test_bounds.py"
    ),
    "an encrypted room has at most 1000 members, and lobby is full": "tests/attacks/test_bounds.py",
    "there is no such room any more": "tests/chat/rooms/test_rooms.py",
    "too many files are under way; try again in a minute": "tests/attacks/test_files.py",
    "this session speaks for device abcdefgh; log in anew to speak for another": (
        "tests/chat/devices/test_keys.py"
    ),
    "another device has that id or one of those keys, or it was revoked; begin as a new device": (
        "tests/chat/devices/test_keys.py"
    ),
    "another list of your devices was published meanwhile; look at it first": (
        "tests/chat/devices/test_keys.py"
    ),
    "the payload has not the form of docs/encryption.md, or is not your own": (
        "tests/chat/devices/test_mail.py"
    ),
    "the signature is not one of that key over that payload": "tests/chat/devices/test_mail.py",
    "another key is known under one of those ids; make new keys": "tests/chat/devices/test_keys.py",
    "what changed since then is not known any more; ask for everybody anew": (
        "tests/chat/devices/test_keys.py"
    ),
    "you ask that too often; try again later": "tests/chat/devices/test_keys.py",
    "ask for at most 100 users at once": "tests/chat/devices/test_keys.py",
    "claim keys of at most 100 devices at once": "tests/chat/devices/test_keys.py",
    "leave at most 100 keys at once": "tests/chat/devices/test_keys.py",
    "500 keys of a device are kept; wait until some are used": "tests/chat/devices/test_keys.py",
    "your account has had too many devices; ask the operator": "tests/chat/devices/test_keys.py",
    "send at most 100 items at once": "tests/chat/devices/test_mail.py",
    "bodies may have 32768 characters together; send fewer at once": (
        "tests/chat/devices/test_mail.py"
    ),
}

AT = 1_795_356_120_000  # 2026-11-22 14:02 UTC
_KICKED = moderation.Kicked("lobby", "bob", "alice", "enough for today")
_BANNED = moderation.Banned("lobby", "carol", "alice", 7200, "spam")
_ASKED = talk.PrivatelySaid("alice", "bob", "are you there?", AT)
HELLO_SHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
_FILE = files.SharedFile(1, "hello.txt", 5, HELLO_SHA256, "alice", None, AT)
_RECORD = rooms.RoomRecord("lobby", "bob", 2, "Tea at five", AT, None)
_CONNECTION = accounts.Connection(2, "bob", "127.0.0.1", "text", ["lobby"], 0, AT)
_SIGNED = Signed(payload="{}", sig="abc")
_ENC = Enc(alg="megolm.v1", sid="c2Vzc2lvbg", ct="aGVsbG8")
_HELLO = talk.Said("lobby", "alice", "hello", AT)


def _is_below(kind: object, base: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, base) and kind is not base


# What stands for others, or is shown to programs alone.
FOR_PEOPLE = {files.FilePrinted}  # no op is answered with it
FOR_PROGRAMS = {  # nobody who types has a device
    rooms.RosterChanged,
    *(kind for kind in EVENTS if kind.__module__ == devices.__name__),
}
# What no conversation shows, and where it is tested instead.
NOT_SHOWN_THERE = {
    server.StatusShown: "tests/chat/server/test_status.py",
    server.LineOmitted: "tests/engine/test_delivery.py",
    server.BackedUp: "tests/database/test_lost_database.py",
    talk.OlderMailKept: "tests/chat/test_service.py",
}
# Kinds of events that stand in one row of docs/protocol/text.md.
FAMILIES = (Done, Noticed, Ended)

# One event of each class, which occurs in a transcript and in docs/protocol/text.md just so.
SAMPLES: list[Event] = [
    _HELLO,
    talk.SaidEncrypted("lobby", "bot", "abcd2345", _ENC, AT),
    rooms.Joined("lobby", "bob"),
    rooms.Left("lobby", "bob"),
    rooms.Disconnected("lobby", "bob"),
    _KICKED,
    _BANNED,
    moderation.Unbanned("lobby", "bob", "alice"),
    moderation.Muted("lobby", "bob", "alice", 1800, "caps"),
    moderation.Unmuted("lobby", "bob", "alice"),
    moderation.Promoted("lobby", "bob", "alice"),
    moderation.Demoted("lobby", "bob", "alice"),
    moderation.TopicSet("lobby", "bob", "Tea at five"),
    moderation.TopicSet("lobby", "bob", ""),
    removal.Purged("lobby", "alice", "bob", 3, 9, 3),
    rooms.Encrypted("lobby", "alice"),
    rooms.RosterChanged("lobby", "bob", 2),
    server.Connected(is_registration_open=True),
    accounts.LoggedIn("alice"),
    rooms.Entered("lobby", "Tea at five", ["alice", "bob"], [_HELLO], AT),
    rooms.Departed("lobby"),
    moderation.SentOut(_KICKED),
    moderation.SentOut(_BANNED),
    _ASKED,
    talk.PrivatelySent(9, "bob", "soup?", "for lunch"),
    talk.PrivatelySaidEncrypted("bot", "bob", "abcd2345", _ENC, AT),
    talk.MailShown([talk.PrivatelySaid("alice", "bob", "I saved you some", AT)], AT),
    talk.HistoryShown("lobby", [_HELLO], has_more=True, before_id=9, now=AT),
    talk.HistoryShown("lobby", [], has_more=False, before_id=1, now=AT),
    rooms.PeopleListed("lobby", [Person("alice", "owner", None)]),
    rooms.RosterShown("lobby", 2, True, 8840, ["alice", "bob", "bot"]),
    rooms.RosterShown("lobby", 0, False, 0, ["alice", "bot"]),
    rooms.RoomsListed([RoomSummary("lobby", 3, "Tea at five")], has_more=False),
    rooms.RoomsListed([], has_more=False),
    moderation.SanctionsListed("lobby", [Sanction("carol", "alice", "spam", AT)], []),
    moderation.ServerSanctionsListed(
        [
            ServerSanction("bob", "(operator)", "too loud", AT),
            ServerSanction("", "alice", "", None, "203.0.113.7/32"),
        ],
        [],
    ),
    talk.IgnoredListed(["mallory"]),
    talk.IgnoredListed([]),
    moderation.TopicShown("lobby", "Tea at five"),
    moderation.TopicShown("lobby", ""),
    accounts.TokensListed([]),
    accounts.TokensListed([accounts.Token(1, "bot on lab3", AT, AT)]),
    files.FileShared("lobby", "alice", 1, "hello.txt", 5, HELLO_SHA256, AT),
    files.FileSent("alice", "bob", 2, "secret.txt", 5, HELLO_SHA256, AT),
    files.UploadOffered("/f/TOKEN", "report.pdf", AT, "report.pdf", "http://127.0.0.1:8888"),
    files.DownloadOffered(
        17, "/f/TOKEN", "hello.txt", 5, HELLO_SHA256, AT, "http://127.0.0.1:8888"
    ),
    files.FilesListed([], has_more=False, before_id=1),
    files.FilesListed([_FILE], has_more=False, before_id=1),
    files.FilePrinted(_FILE, b"hello"),
    rooms.OwnerSet("lobby", "bob", "alice"),
    rooms.Renamed("lobby", "alice", "garden"),
    rooms.Deleted("garden", "alice", "too quiet"),
    accounts.AccountsListed([], has_more=False),
    accounts.AccountsListed([accounts.Account("carol", False, True, AT)], has_more=False),
    accounts.AccountsListed([accounts.Account("bob", False, True, AT, True)], has_more=False),
    rooms.RoomRecordsListed([], has_more=False),
    rooms.RoomRecordsListed([_RECORD], has_more=False),
    accounts.SessionsListed([], has_more=False),
    accounts.SessionsListed([_CONNECTION], has_more=False),
    removal.RetentionListed(0, [], has_more=False),
    removal.RetentionListed(0, [removal.RoomRetention("lobby", 30)], has_more=False),
    server.StatusShown([BOB_IS_SLOW], "0.1.0", 273_600, True, "", LOAD, MINUTE),
    server.StatusShown([], "0.1.0", 273_600, True, "", LOAD, MINUTE),
    devices.DeviceKnown(),
    devices.KeysKept(50, fallback_unused=True),
    devices.DevicesShown({"bob": devices.UserDevices(_SIGNED, [_SIGNED])}),
    devices.DevicesShown({"nobody": devices.UserDevices(None, [])}),
    devices.KeysHandedOut([devices.ClaimedKey("bob", "abcdefgh", _SIGNED)], []),
    devices.KeysHandedOut([], [devices.OutOfReach("bob", "abcdefgh", "no_keys")]),
    devices.DeviceChangesListed(["bob"], 17),
    devices.DeviceMailSent([]),
    devices.DeviceMailShown([devices.DeviceMail(9, "bob", "abcdefgh", "...")], False),
    devices.DeviceMailCame(),
    devices.KeysLow(),
    devices.DevicesChanged(["bob"]),
    server.HelpShown("kick", Level.USER),
    server.Greeted(is_registration_open=True, needs_tls=False),
    accounts.EndedByPassword(by_operator=False),
    accounts.EndedByPassword(by_operator=True),
    accounts.EndedBySession(),
    accounts.EndedByDisabling(),
    accounts.EndedByDeletion(),
    moderation.EndedByKick("enough for today"),
    moderation.EndedByBan(False, "spam", AT),
    moderation.EndedByBan(True, "a school of bots", AT),
    accounts.PasswordChanged(),
    accounts.AccountMade("dave", is_admin=False),
    accounts.PasswordSet("dave"),
    accounts.AdminSet("bob", is_admin=True),
    accounts.AccountDisabled("carol"),
    accounts.AccountEnabled("carol"),
    accounts.AccountDeleted("carol"),
    accounts.AccountDeleted("bob", is_own=True),
    files.Unshared(1, "hello.txt"),
    moderation.ServerKicked("bob", 1),
    moderation.ServerBanned("bob", 7200, 2),
    moderation.ServerUnbanned("bob"),
    moderation.ServerMuted("bob", 1800),
    moderation.ServerUnmuted("bob"),
    moderation.MutedEverywhere("caps", AT),
    moderation.UnmutedEverywhere(),
    removal.Removed(4, 0),
    removal.RetentionSet("lobby", 30),
    removal.Vacuumed(2),
    rooms.RoomMade("den", "alice", e2ee=True),
    rooms.RoomGiven("den", "alice"),
    rooms.RoomRenamed("lobby", "garden"),
    rooms.RoomDeleted("garden"),
    server.Ponged(),
    server.ToldEverybody(),
    server.Announced("Tea at five"),
    server.ShutdownPlanned(0),
    server.ShutdownCancelled(),
    server.ShutdownNeared(7200, "new_disk"),
    server.ShutdownCalledOff(),
    server.Stopped(),
    server.LineOmitted(),
    server.BackedUp("/srv/copy.db"),
    talk.WentAway(),
    talk.CameBack(),
    talk.IgnoreBegun("mallory"),
    talk.IgnoreEnded("mallory"),
    talk.OlderMailKept(3),
    server.Refused("login_required", "log in first", remedy=Remedy("login")),
    server.SaidGoodbye(),
]


def _lines(event: Event) -> list[str]:
    if type(event) in FOR_PROGRAMS:
        return []
    return render(event).decode().removesuffix("\r\n").split("\r\n")


# Each command is one that the service can carry out, in one way.
def test_every_command_has_a_handler(tmp_path, new_database) -> None:
    url = f"sqlite:///{shutil.copy(new_database, tmp_path)}"
    service = Service(Database(url, "normal"), Settings(data_dir=tmp_path), times.now)
    with closing(service):
        assert set(service._handlers) == set(COMMANDS.values())
        with pytest.raises(ValueError, match="twice"):
            _merged(service, service)


# Each command is in the table, by its own word.
def test_every_command_is_in_the_table() -> None:
    subjects = (accounts, devices, files, moderation, removal, rooms, server, talk)
    defined = [kind for subject in subjects for kind in vars(subject).values()]
    kinds = {kind for kind in defined if _is_below(kind, Command)} - {InRoom}
    assert set(COMMANDS.values()) == kinds
    bases = {RoomEvent, Answer, Done, Ended, Noticed}
    assert set(EVENTS) == {kind for kind in defined if _is_below(kind, Event)} - bases
    assert all(COMMANDS[kind.word] is kind for kind in kinds)


# Each command is typed in some conversation, stands in /help, and is described to strangers.
@pytest.mark.parametrize(
    "kind",
    [kind for kind in COMMANDS.values() if kind.is_typed and kind.least < Level.OPERATOR],
    ids=lambda kind: kind.word,
)
def test_every_command_is_shown_and_described(kind: type[Command]) -> None:
    assert any(re.match(rf"/{kind.word}\b", typed) for typed in TYPED)
    assert usage(kind) in " ".join(_lines(server.HelpShown("", Level.ADMIN)))
    assert f"  {summary(kind)}" in _lines(server.HelpShown(str(kind.word), Level.ADMIN))
    assert re.search(rf"^`{re.escape(usage(kind))}` ", PROTOCOL, re.M)


# Each event has a sample here.
def test_every_event_has_a_sample() -> None:
    assert {type(sample) for sample in SAMPLES} == {*EVENTS} - {talk.Stored}
    assert all((ROOT / test).is_file() for test in NOT_SHOWN_THERE.values())


# Each event has happened in some conversation, and was shown as the text wire shows it.
@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_every_event_happens(event: Event) -> None:
    for line in _lines(event) if type(event) not in NOT_SHOWN_THERE else ():
        assert any(re.fullmatch(told, line) for told in TOLD), line


# Each event can be shown to a program, as the schema says: what fails here fails for a whole batch.
@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_every_event_is_shown_to_programs(event: Event) -> None:
    is_answer = isinstance(event, Answer)
    shown = ndjson_events.render_answer(event, "7") if is_answer else ndjson_events.render(event)
    for line in shown.splitlines() if type(event) not in FOR_PEOPLE else ():
        check("line", json.loads(line))


# Each event is described to strangers, with the line that it is shown as, or with those of its
# family; those for programs alone are by tests/docs/test_protocol_page.py.
@pytest.mark.parametrize(
    "event",
    [sample for sample in SAMPLES if type(sample) not in FOR_PROGRAMS],
    ids=lambda event: type(event).__name__,
)
def test_every_event_is_described(event: Event) -> None:
    row = next((family for family in FAMILIES if isinstance(event, family)), type(event))
    assert re.search(rf"^\| `{row.__name__}` \|", PROTOCOL, re.M)
    for line in _lines(event) if row is type(event) else ():
        assert line.strip() in PROTOCOL


# Each refusal was told to somebody in some conversation, but for the exceptions above.
@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.place)
def test_every_refusal_happens(refusal: RefusalInSource) -> None:
    told = {line.removeprefix("Error: ") for line in SEEN if line.startswith("Error: ")}
    happens = _matches_any(refusal.sentence, told | TOLD_PROGRAMS)
    assert happens != _matches_any(refusal.sentence, NOT_IN_A_CONVERSATION)


# The exceptions are refusals that there are, and are tested where it says.
@pytest.mark.parametrize(("sentence", "reason"), NOT_IN_A_CONVERSATION.items())
def test_every_exception_is_a_refusal(sentence: str, reason: str) -> None:
    assert any(re.fullmatch(refusal.sentence, sentence) for refusal in REFUSALS)
    assert not reason.startswith("tests/") or (ROOT / reason).is_file()


def _matches_any(pattern: str, texts: Iterable[str]) -> bool:
    return any(re.fullmatch(pattern, text) for text in texts)


# A code is in the list because something is refused with it; that no other is used, mypy sees.
@pytest.mark.parametrize("code", get_args(Code))
def test_every_refusal_code_is_used(code: str) -> None:
    sources = [path.read_text() for path in (ROOT / "app").rglob("*.py")]
    assert sum(source.count(f'"{code}"') for source in sources) > 1


# Each remedy has its words, and something is refused with it.
@pytest.mark.parametrize("word", get_args(Help))
def test_every_remedy_is_told(word: str) -> None:
    sources = [path.read_text() for path in (ROOT / "app").rglob("*.py")]
    assert any(f'Remedy("{word}"' in source for source in sources)
    assert word in REMEDIES


# The client library goes by codes that there are.
def test_the_client_knows_the_codes() -> None:
    assert set(get_args(Code)) >= client._PASSING | client._TRY_NEXT


# Each setting that is no limit is in the README, once, in the order of the settings, with its
# default as an operator would type it. Limits are in a table that is made from them.
def test_every_setting_is_described() -> None:
    defaults = {each.name: each.default for each in fields(Settings) if not is_limit(each.default)}
    rows = re.findall(r"^\| `GREENROOM_(\w+)` \| (.*?) \|", README, re.M)
    assert [name.lower() for name, _ in rows] == list(defaults)
    for (_, told), default in zip(rows, defaults.values(), strict=True):
        typed = ",".join(default) if isinstance(default, tuple) else str(default)
        assert (typed.lower() if isinstance(default, bool) else typed) in told


# A line of the transcripts' language that stands for something stands for that only.
def test_patterns_of_transcripts() -> None:
    assert re.fullmatch(pattern_of("[<time>] a.b"), "[14:02] a.b")
    assert not re.fullmatch(pattern_of("[<time>] a.b"), "[14:02] axb")


# Names of people, rooms and files in the samples, and a number.
_NAMES = {"alice", "bob", "bot", "carol", "dave", "den", "garden", "hello.txt", "lobby", "3"}


def _said_by_the_server() -> Iterator[str]:
    """Yield what lines of the text wire may begin with, as far as no name stands there."""
    for event in SAMPLES:
        yield from (line for line in _lines(event) if not line.startswith(" "))
    yield from ("login: ", "password: ")


# Nobody can have a name with which lines of the server begin: what they say would look like one.
def test_first_words_of_the_server_are_reserved() -> None:
    words = {line.split()[0].rstrip(":.,!;") for line in _said_by_the_server() if line.strip()}
    assert {"Error", "Topic", "Welcome", "Hello", "You"} <= words
    for word in words - _NAMES:
        with pytest.raises(BadNameError):
            parse_new_name(word)
