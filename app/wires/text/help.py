"""/help as people read it: all commands by subject, on less than a screen, or one of them."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache

from app.protocol import COMMANDS
from app.protocol.command import Level
from app.wires.text.commands import find_command, summary, usage

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Talk": ("say", "me", "msg", "drop", "away", "ignore", "unignore"),
    "Rooms": ("join", "leave", "rooms", "who", "history", "topic", "roster", "members"),
    "Files": ("send", "get", "files", "upload", "download", "unshare"),
    "You": (
        "passwd",
        "tokens",
        "sessions",
        "register",
        "login",
        "unregister",
        "ping",
        "help",
        "quit",
    ),
    "Keys": ("unlock", "fingerprint", "verify", "trust", "devices", "device", "keys"),
    "Moderators": ("kick", "ban", "unban", "mute", "unmute", "bans"),
    "Owners": ("promote", "demote", "encrypt"),
}
_OTHERS = "Admins"  # commands of no section, which users of lower levels may not use
_COLUMNS = 70  # of a line, beside the time in manage.py chat
_FIRST = "/help COMMAND says more of one. What stands in brackets may be left out."


def by_subject(usages: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of /help, for the usages of commands by word."""
    yield _FIRST
    left = dict(usages)
    for title, words in [*SECTIONS.items(), (_OTHERS, tuple(sorted(left)))]:
        here = [left.pop(word) for word in words if word in left]
        if here:
            # A command is not broken at its blanks.
            whole = ", ".join(here).replace(" ", "\0").replace(",\0/", ", /")
            wrapped = textwrap.wrap(
                f"{title}: {whole}",
                _COLUMNS,
                subsequent_indent="  ",
                break_on_hyphens=False,
                break_long_words=False,
            )
            yield from (line.replace("\0", " ") for line in wrapped)


def help_lines(word: str, level: Level) -> Iterable[str]:
    """Return a level's commands, or the summary of one. Raises BadLine."""
    if word:
        kind = find_command(word)
        return [usage(kind), f"  {summary(kind)}"]
    return _all_of(level)


@cache  # it takes half a millisecond, and any client may ask
def _all_of(level: Level) -> Sequence[str]:
    return list(
        by_subject(
            {
                str(kind.word): usage(kind)
                for kind in COMMANDS.values()
                if kind.is_typed and kind.is_for(level)
            }
        )
    )
