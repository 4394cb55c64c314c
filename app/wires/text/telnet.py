"""The telnet filter: takes commands out of what a client sends (RFC 854, 855, 857).

Pure: the same bytes in any pieces give the same text. It offers to echo, which asks a client not to
show a password, and agrees to nothing else. It asks for one thing: a client that negotiates at all
is asked once for all eight bits (RFC 856), without which some telnets strip the eighth. It never
offers them itself: that would change the ends of lines. An answer is never longer than its
question, but for that one request, and nothing is kept of a subnegotiation, however long.

Nothing here takes a step of Python for each byte or command, since any client can send them without
end. A regular expression finds the commands, and tables have the meaning and the answer of each.
"""

import re
from itertools import compress, count, repeat

IAC, DONT, DO, WONT, WILL, SB, EL, EC, AYT, NOP, SE = (
    *(255, 254, 253, 252, 251, 250, 248, 247, 246, 241, 240),
)
BINARY, ECHO = 0, 1

HIDE_INPUT = bytes((IAC, WILL, ECHO))
SHOW_INPUT = bytes((IAC, WONT, ECHO))
_ASK_EIGHT_BITS = bytes((IAC, DO, BINARY))
_SUBNEGOTIATION = bytes((IAC, SB))

# In a subnegotiation IAC IAC is data; any other command but SE is out of place, and passed over.
_INSIDE = rb"[^\xff]*+(?:\xff[^\xf0][^\xff]*+)*+"
_COMMAND = re.compile(
    rb"(\xff(?:[^\xfa-\xfe]|[\xfb-\xfe].|\xfa" + _INSIDE + rb"\xff\xf0|\xfa.*))", re.DOTALL
)
_BEGUN = re.compile(_SUBNEGOTIATION + _INSIDE)

_OPTIONS = range(0x100)
_NEGOTIATIONS = frozenset(
    bytes((IAC, verb, option)) for verb in (DO, DONT, WILL, WONT) for option in _OPTIONS
)
# Our own offer and request get answers: if both sides answered answers, it could go on for ever.
_ANSWERS = {
    **{
        bytes((IAC, DO, option)): bytes((IAC, WONT, option))
        for option in _OPTIONS
        if option != ECHO
    },
    **{
        bytes((IAC, WILL, option)): bytes((IAC, DONT, option))
        for option in _OPTIONS
        if option != BINARY
    },
    bytes((IAC, AYT)): bytes((IAC, NOP)),  # "are you there?": yes, in as many bytes
}
_TEXT = {
    bytes((IAC, IAC)): bytes((IAC,)),
    bytes((IAC, EC)): b"\x7f",  # erase a character: as the key does
    bytes((IAC, EL)): b"\x15",  # erase the line: as Ctrl-U does
}


class TelnetFilter:
    """Separates text from commands; `answers` collects bytes to send back."""

    __slots__ = (
        "_begun",
        "_has_asked",
        "answers",
    )

    def __init__(self) -> None:
        self.answers = bytearray()
        self._begun = b""  # of a command that has not come whole: three bytes at most
        self._has_asked = False  # for eight bits

    def feed(self, data: bytes) -> bytes:
        """Return the text in `data`."""
        if not self._begun and IAC not in data:
            return data
        *pieces, rest = _COMMAND.split(self._begun + data)
        commands = pieces[1::2]
        self._answer(commands)
        pieces[1::2] = map(_TEXT.get, commands, repeat(b""))
        rest, iac, after = rest.partition(b"\xff")
        self._begun = iac + after if iac else _subnegotiation_begun(commands)
        return b"".join(pieces) + rest

    def _answer(self, commands: list[bytes]) -> None:
        answers = list(map(_ANSWERS.get, commands, repeat(b"")))
        if not self._has_asked:
            negotiates = map(_NEGOTIATIONS.__contains__, commands)
            for first in compress(count(), negotiates):
                answers.insert(first, _ASK_EIGHT_BITS)
                self._has_asked = True
                break
        self.answers += b"".join(answers)


def _subnegotiation_begun(commands: list[bytes]) -> bytes:
    """Return the state of a subnegotiation whose end has not come, as bytes."""
    if not commands or not (begun := _BEGUN.match(commands[-1])):
        return b""
    left = commands[-1][begun.end() :]
    return b"" if left == b"\xff\xf0" else _SUBNEGOTIATION + left
