"""Complete commands, names and paths, by a command's usage (Tab)."""

import re
from collections.abc import Iterable

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from typing_extensions import override

from app.protocol import COMMANDS
from app.terminal.model import Model
from app.terminal.typed import OWN, WORDS, is_command
from app.wires.text.commands import usage


def _takes(word: str, position: int) -> str:
    """Return what a command takes at a position, or "".

    It is a word of its usage: USER, ROOM, yes|no ...
    """
    how = OWN[word][0] if word in OWN else usage(COMMANDS[word]) if word in COMMANDS else ""
    names = re.sub(r"[][.]", "", how).split()[1:]
    return names[min(position, len(names) - 1)] if names else ""


class ChatCompleter(Completer):
    """Proposes completions of the word before the cursor."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._paths = PathCompleter(expanduser=True)

    @override
    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        text = document.text_before_cursor
        first, *rest = text.split(" ")
        word = first.removeprefix("/").lower()
        if not is_command(text):
            yield from _matching(text, self._model.names(), ": " if not rest else " ")
        elif not rest:
            yield from _matching(text, (f"/{word}" for word in WORDS))
        elif _takes(word, len(rest) - 1) in ("PATH", "FILE") or word == "send":
            path = text.split(" ", 1 if word == "send" else len(rest))[-1]
            yield from self._paths.get_completions(Document(path), complete_event)
        else:
            yield from self._arguments(word, text, len(rest) - 1)

    def _arguments(self, word: str, text: str, position: int) -> Iterable[Completion]:
        what = _takes(word, position)
        if what == "ROOM":
            return _matching(text, sorted(self._model.known_rooms))
        if what == "COMMAND":
            return _matching(text, WORDS)
        if what.islower():  # one of some words
            return _matching(text, what.split("|"))
        return _matching(text, self._model.names()) if what in ("USER", "TEXT", "REASON") else ()


def _matching(text: str, words: Iterable[str], end: str = " ") -> Iterable[Completion]:
    """Yield the words that begin like a text's last word.

    Case does not matter. `end` is put behind each.
    """
    begun = text.rpartition(" ")[2]
    for word in words:
        if word.casefold().startswith(begun.casefold()):
            yield Completion(word + end, start_position=-len(begun), display=word)
