"""The telnet filter: takes commands out of what a client sends (RFC 854, 855, 857).

Pure: the same bytes in any pieces give the same text. It agrees to nothing but our own offer to
echo, which is how a client is asked not to show a password. An answer is never longer than what it
answers, and nothing is kept of a subnegotiation, however long.
"""

IAC, DONT, DO, WONT, WILL, SB, AYT, NOP, SE = 255, 254, 253, 252, 251, 250, 246, 241, 240
ECHO = 1

HIDE_INPUT = bytes((IAC, WILL, ECHO))
SHOW_INPUT = bytes((IAC, WONT, ECHO))

_REFUSALS = {DO: WONT, WILL: DONT}
_TEXT, _COMMAND, _OPTION, _SUBNEGOTIATION, _SUBNEGOTIATION_COMMAND = range(5)


class TelnetFilter:
    """Separates text from commands; `answers` collects what is to be sent back."""

    def __init__(self) -> None:
        self.answers = bytearray()
        self._state = _TEXT
        self._request = 0  # DO, DONT, WILL or WONT, while its option has not come

    def feed(self, data: bytes) -> bytes:
        """Return the text in `data`."""
        if self._state == _TEXT and IAC not in data:
            return data
        text = bytearray()
        for byte in data:
            if self._state == _TEXT and byte != IAC:
                text.append(byte)
            else:
                self._step(byte, text)
        return bytes(text)

    def _step(self, byte: int, text: bytearray) -> None:
        if self._state == _TEXT:
            self._state = _COMMAND
        elif self._state == _COMMAND:
            self._command(byte, text)
        elif self._state == _OPTION:
            self._state = _TEXT
            if self._request in _REFUSALS and (self._request, byte) != (DO, ECHO):
                self.answers += bytes((IAC, _REFUSALS[self._request], byte))
        elif self._state == _SUBNEGOTIATION:
            if byte == IAC:
                self._state = _SUBNEGOTIATION_COMMAND
        else:  # IAC IAC is data; any other command but SE is out of place, and passed over
            self._state = _TEXT if byte == SE else _SUBNEGOTIATION

    def _command(self, byte: int, text: bytearray) -> None:
        self._state = _TEXT
        if byte == IAC:
            text.append(IAC)
        elif byte in (DO, DONT, WILL, WONT):
            self._state, self._request = _OPTION, byte
        elif byte == SB:
            self._state = _SUBNEGOTIATION
        elif byte == AYT:  # "are you there?": yes, in no more bytes than were asked with
            self.answers += bytes((IAC, NOP))
