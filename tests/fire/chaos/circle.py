"""What was said in the encrypted room, as the devices of its members have it. Pure.

A secret is a text that one of them says; no two are the same, and each has SECRET_MARK in it, which
is to be found nowhere outside the devices. What the oracle knows of that room is ciphertext.

What it promises to notice:
  1. A message is another text to one reader than to another, or than its sender said.
  2. A text was read under two ids, or though its sender was told that it is not stored.
  3. A text that was to go out, and was never answered, did not go out later.
  4. Somebody read what was said while they did not belong to the room.
  5. A step of a ratchet was taken twice, for two ciphertexts.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from vodozemac import MegolmMessage

from app.encryption.payloads import Encrypted

SECRET_MARK = "zqx-secret-"  # no base64 has a "-"


class Circle:
    """See the top of this file. `violate` is told of each promise that was broken."""

    def __init__(self, names: Sequence[str], violate: Callable[[str], None]) -> None:
        self.names = names
        self.is_over = False
        self.arrived: set[str] = set()  # who was here once, and so can be encrypted for
        self.read_count = 0
        self._violate = violate
        self._senders: dict[str, str] = {}  # by text
        self._texts: dict[int, str] = {}  # by id
        self._ids: dict[str, int] = {}  # by text
        self._refused: set[str] = set()
        self._owed: set[str] = set()
        self._places: dict[str, int] = {}  # by text: in which order they were said
        self._closed: defaultdict[str, set[str]] = defaultdict(set)  # by reader: not for them
        self._steps: dict[tuple[str, str, int], str] = {}  # device, session, place: the ciphertext

    @property
    def may_talk(self) -> bool:
        """Whether all have keys by now: what was said before that some could never read."""
        return self.arrived.issuperset(self.names) and not self.is_over

    @property
    def said_count(self) -> int:
        """How many texts were said."""
        return len(self._senders)

    def say(self, sender: str, text: str) -> None:
        """Somebody is about to say something."""
        self._senders[text] = sender
        self._places[text] = len(self._places)

    def acknowledge(self, text: str, message_id: int) -> None:
        """The sender was told that it is stored."""
        self._match(self._senders[text], text, message_id)

    def refuse(self, text: str) -> None:
        """The sender was told that it is not stored."""
        self._refused.add(text)

    def owe(self, text: str) -> None:
        """The sender was told nothing: it will go out when they are back."""
        self._owed.add(text)

    def read(self, reader: str, sender: str, text: str, message_id: int) -> None:
        """Somebody read a message."""
        self.read_count += 1
        if self._senders.get(text) != sender:
            self._violate(f"{reader} read as said by {sender} what they did not say: {text}")
        if text in self._closed[reader]:
            self._violate(f"{reader} read what was said while they were gone: {text}")
        if text in self._refused:
            self._violate(f"{reader} read what {sender} was told is not stored: {text}")
        self._match(reader, text, message_id)

    def _match(self, who: str, text: str, message_id: int) -> None:
        known_text = self._texts.setdefault(message_id, text)
        known_id = self._ids.setdefault(text, message_id)
        if known_text != text:
            self._violate(f"message {message_id} is {text} to {who}, and was {known_text}")
        if known_id != message_id:
            self._violate(f"{text} is message {message_id} to {who}, and was {known_id}")

    @property
    def newest_id(self) -> int:
        """The newest message of which the text is known."""
        return max(self._texts, default=0)

    def close(self, reader: str, place: int) -> None:
        """What was said from a place on, and is stored by now, is not for this reader."""
        stored = (text for text in self._ids if self._places.get(text, -1) >= place)
        self._closed[reader].update(stored)

    def was_said_before(self, message_id: int, place: int) -> bool:
        """Whether it is known that somebody began to say a message before a place."""
        text = self._texts.get(message_id)
        return text is not None and self._places.get(text, place) < place

    def see(self, device: str, enc: Encrypted) -> None:
        """Somebody was shown a ciphertext."""
        place = MegolmMessage.from_base64(enc.ct).message_index()
        if self._steps.setdefault((device, enc.sid, place), enc.ct) != enc.ct:
            self._violate(f"{device} took step {place} of session {enc.sid} twice")

    @property
    def owed(self) -> set[str]:
        """What has still to go out."""
        self._owed.difference_update(self._ids)
        return set(self._owed)

    def give_up(self, texts: Iterable[str]) -> None:
        """Complain of what did not go out, once."""
        for text in self._owed.intersection(texts):
            self._violate(f"{self._senders[text]} could not say {text}, nor did it go out later")
            self._owed.discard(text)


def marked_files(folder: Path) -> Iterator[str]:
    """Yield which files have something that was said there. Blocks."""
    for path in folder.rglob("*"):
        if path.is_file() and SECRET_MARK.encode() in path.read_bytes():
            yield path.name
