"""The text wire: lines that a person types at telnet or nc, and lines for them. Pure.

Before login it asks for a name and a password, and tells telnet clients not to show the latter.
After it, a line is a command when it begins with a slash, and else a message; two slashes begin a
message with one. A line that makes no sense becomes a refusal, as a value, so that the lines around
it survive.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from app.errors import BadLine, BadNameError, Refusal
from app.protocol import accounts, server, talk
from app.protocol.accounts import Login, Passwd, Register, Unregister
from app.protocol.command import Check, Command, let_all
from app.protocol.event import Event
from app.protocol.files import Upload
from app.protocol.talk import History, Say
from app.values.names import parse_name
from app.wires.text.base64_lines import TYPED_BYTES_MAX, Base64Lines
from app.wires.text.commands import find_command, parse_arguments, split_command
from app.wires.text.events import greeting, render
from app.wires.text.telnet import HIDE_INPUT, SHOW_INPUT, TelnetFilter
from app.wires.text.typed_lines import TypedLines, hides_command
from app.wires.wire import Wire

Answer = Command | Refusal | None  # None: the line asks for nothing, or for another line

_TLS_RECORD = b"\x16"  # begins a ClientHello, and nothing that a person types
# First lines of programs of other protocols, whose next line would be taken for a password.
_PROTOCOLS = {
    "HTTP": re.compile(r"[A-Z]+ \S+ HTTP/[0-9.]+"),
    "NDJSON": re.compile(r"\ufeff?(?:\[ ?)?\{.*"),
    "SSH": re.compile(r"SSH-[0-9].*"),
    "PROXY": re.compile(r"PROXY .*"),
    "IRC": re.compile(r"(?:CAP|NICK|USER|PASS|AUTHENTICATE) .*"),
}


class TextWire(Wire):
    """One connection's dialogue: bytes to commands, events to bytes."""

    __slots__ = (
        "_file",
        "_has_begun",
        "_history_before_id",
        "_is_logged_in",
        "_line_bytes_max",
        "_lines",
        "_may_ask_password",
        "_output",
        "_says_name",
        "_secret",
        "_telnet",
    )

    name = "text"
    rooms_max = 1
    render = staticmethod(render)
    tag = ""  # a message comes back to its sender as to all: no answer is asked for

    def __init__(self, line_bytes_max: int) -> None:
        self._telnet = TelnetFilter()
        self._lines = TypedLines(line_bytes_max)
        self._line_bytes_max = line_bytes_max
        self._has_begun = False
        self._is_logged_in = False
        self._may_ask_password = True  # not on a connection where others could listen in
        self._history_before_id: int | None = None  # where the next page of /history ends
        self._says_name = False  # in the greeting: the line may have been meant otherwise
        self._secret: Callable[[str], Answer] | None = None  # takes the hidden line asked for
        self._file: Base64Lines | None = None  # takes the lines of a file that is typed
        self._output = bytearray()

    @staticmethod
    def begins(_first_bytes: bytes) -> bool:
        """See Wire."""
        return False

    def feed(self, data: bytes, check: Check = let_all) -> Iterator[Answer]:
        """Yield the client's commands, one line at a time; None for a line that asks nothing.

        Lines of a file that is typed are taken in silence, for they cost next to nothing.

        The meaning of a line can depend on the result of the one before it. So each is read only
        after the one before it was carried out. Take the output after each, and at the end.
        """
        if not self._has_begun and data.startswith(_TLS_RECORD):
            yield _other_protocol("TLS")
            return
        self._has_begun = True
        text = self._telnet.feed(data)
        for line in self._lines.feed(text):
            if self._file is None or not self._file.takes(line):
                yield self._paged(self._read(line, check))

    def _paged(self, answer: Answer) -> Answer:
        """Make a repeated /history ask for the page before."""
        if isinstance(answer, History):
            return replace(answer, before=self._history_before_id)
        if isinstance(answer, Command):
            self._history_before_id = None
        return answer

    @property
    def free_bytes_max(self) -> int:
        """The bytes that may come without a line that counts: one line's, or a typed file's."""
        return self._line_bytes_max if self._file is None else TYPED_BYTES_MAX

    def take_output(self) -> bytes:
        """Return bytes to send now: answers of the telnet filter, and prompts."""
        output = bytes(self._telnet.answers + self._output)
        self._telnet.answers.clear()
        self._output.clear()
        return output

    def show(self, event: Event) -> bytes:
        """Return an event's bytes, for this session alone, and the next prompt."""
        if isinstance(event, accounts.LoggedIn):
            self._is_logged_in = True
            if self._says_name:
                return f"{greeting(event, says_name=True)}\r\n".encode()
        elif isinstance(event, server.Connected):
            self._may_ask_password = not event.needs_tls
        elif isinstance(event, talk.HistoryShown):
            self._history_before_id = event.before_id
        return render(event) + (b"" if self._is_logged_in else b"login: ")

    def done(self) -> bytes:
        """Return the end of an answer: nothing, for people."""
        return b""

    def show_last(self, event: Event) -> bytes:
        """Return the bytes of the session's last event."""
        return render(event)

    def _read(self, line: bytes | None, check: Check) -> Answer:
        if self._file is not None:
            return self._end_of_file(line)
        secret = self._secret
        if secret is not None:
            self._secret = None
            self._output += SHOW_INPUT + b"\r\n"
        if line is None:
            return BadLine(
                f"a line has at most {self._line_bytes_max} bytes; yours was not used",
                code="line_too_long",
            )
        try:
            text = line.decode()
        except UnicodeDecodeError:
            return BadLine("that line is not UTF-8, and was not used", code="not_utf8")
        try:
            return secret(text) if secret is not None else self._typed(text, check)
        except Refusal as refusal:
            return refusal

    def _typed(self, text: str, check: Check) -> Answer:
        first = text[:1]
        if "0" <= first <= "~" and self._is_logged_in:
            return Say(text)  # nearly all messages begin so
        self._says_name = False
        if first == "/" and not text.startswith("//"):
            return self._command(text, check)
        if not "!" <= first <= "~" and hides_command(text):
            raise BadLine(
                "something that can't be seen stands before that slash, so nobody was shown it; "
                "type it anew",
                code="hidden_command",
            )
        if self._is_logged_in:
            return Say(text.removeprefix("/")) if text.strip() else None
        name = text.strip()
        if not name:
            self._output += b"login: "
            return None
        if protocol := _protocol(name):
            return _other_protocol(protocol)
        _check_can_be_name(name)
        return self._ask_password(lambda password: Login(name, password))

    def _command(self, text: str, check: Check) -> Answer:
        word, rest = split_command(text)
        kind = find_command(word)
        check(kind)
        arguments = rest.split(maxsplit=1)
        if kind is Passwd and not arguments:
            return self._ask("old password: ", self._ask_new_password)
        if kind is Unregister and not arguments and self._is_logged_in:
            return self._ask("password: ", Unregister)
        if kind in (Login, Register) and len(arguments) == 1:
            return self._ask_password(lambda password: kind(arguments[0], password))
        command = parse_arguments(kind, rest)
        self._says_name = isinstance(command, Register) and _could_be_a_name(command.password)
        if isinstance(command, Upload) and self._is_logged_in:
            self._file = Base64Lines(command, self._line_bytes_max)
            self._output += b"Lines of base64, please, and then a line with a dot alone.\r\n"
            return None
        return command

    def _end_of_file(self, line: bytes | None) -> Answer:
        """Return a typed file's command, if the line is its end."""
        file = self._file
        if file is None or not file.is_end(line):
            return None  # the file is refused, and its other lines are not used
        self._file = None
        try:
            return file.command()
        except Refusal as refusal:
            return refusal

    def _ask_password(self, then: Callable[[str], Command]) -> Answer:
        """Ask for a password, unless the command is refused anyway."""
        if self._is_logged_in or not self._may_ask_password:
            return then("")
        return self._ask("password: ", then)

    def _ask_new_password(self, old: str) -> Answer:
        return self._ask("new password: ", lambda new: Passwd(old, new))

    def _ask(self, prompt: str, then: Callable[[str], Answer]) -> Answer:
        """Ask for a line that is typed unseen."""
        self._secret = then
        self._output += HIDE_INPUT + prompt.encode()
        return None


def _could_be_a_name(password: str) -> bool:
    """Whether a password on a line may be part of a name: Al Ice."""
    letters = "".join(password.split())
    return letters.isalpha() and not letters.islower()


def _protocol(line: str) -> str | None:
    """Return the protocol of a program's first line, if it is known."""
    return next((name for name, line_of in _PROTOCOLS.items() if line_of.fullmatch(line)), None)


def _check_can_be_name(text: str) -> None:
    """Refuse a text that can be no name: the next line is no password. Raises BadLine."""
    try:
        parse_name(text)
    except BadNameError as error:
        raise BadLine(
            f"this is Greenroom, a chat server, and {error}: type your name, or /register NAME",
            code="bad_name",
        ) from error


def _other_protocol(name: str) -> Refusal:
    """Return the last refusal for another protocol: its next lines would be passwords."""
    return BadLine(
        "this is Greenroom, a chat server, and this connection is text; "
        f"{name} begins with the first byte, where it is spoken at all",
        code="other_protocol",
        is_final=True,
    )
