"""A server is killed while people write each other private messages; see failpoints.py.

1. What was acknowledged is stored, under the id that was told, and so is what anybody was shown.
2. Who was away is shown at login all that came meanwhile, once, in its order.
3. Who was there is shown at login what they missed; before it, again, perhaps the last they saw.
4. What was shown at a login, and noted, is shown at no other one.
5. What nobody has answered, said again, is stored once, and is shown if it was not there before.
"""

from collections.abc import Callable, Iterator

from tests.kit.client import wait_until
from tests.kit.program import Program
from tests.kit.server_process import ServerProcess

PRESENT = "listener"
ABSENT = "absent"

Letter = tuple[int, str]  # its id, and what it says


class Letters:
    """What is written to somebody who is there, and to somebody who is not, before each kill."""

    def __init__(self, server: ServerProcess, log_in: Callable[[str], Program]) -> None:
        self._server = server
        self._log_in = log_in
        self._kill = 0
        self._asked: list[tuple[str, str, str]] = []  # who writes to whom, and what

    def begin(self, kill: int) -> None:
        """Forget what was written before the last kill."""
        self._kill = kill
        self._asked.clear()

    def write(self, writer: Program, number: int) -> None:
        """Write to both, and wait for no answer. Raises OSError when the server is gone."""
        for recipient in (PRESENT, ABSENT):
            body = f"letter-{self._kill}-{number} from {writer.name} to {recipient}"
            self._asked.append((writer.name, recipient, body))
            writer.ask("msg", user=recipient, body=body, txn=body)

    def send(self, writer: Program, count: int) -> list[Letter]:
        """Write to who is away, and return what is acknowledged: all of it."""
        bodies = [f"letter-{self._kill}-{number}" for number in range(count)]
        answers = [writer.call("msg", user=ABSENT, body=body) for body in bodies]
        return [(answer["message_id"], answer["body"]) for answer in answers]

    def check(self, present: Program, writers: list[Program]) -> None:
        """Check what is left of what was written before a kill. Raises AssertionError."""
        told = {body: number for each in writers for body, number in acknowledged(each, "msg")}
        kept = {recipient: self._stored(recipient) for recipient in (PRESENT, ABSENT)}
        stored = {body: number for letters in kept.values() for number, body in letters}
        assert told.items() <= stored.items(), "a letter that was acknowledged is gone"
        for recipient, seen in ((PRESENT, _letters(present)), (ABSENT, [])):
            self._check_login(recipient, seen, kept[recipient])
        self._write_again([each for each in self._asked if each[2] not in told], stored)

    def _check_login(self, name: str, seen: list[Letter], kept: list[Letter]) -> None:
        assert seen == kept[: len(seen)], "a letter that was shown is lost, or in another order"
        shown = self._shown_at_login(name)
        assert shown == kept[len(kept) - len(shown) :], "shown twice, or in another order"
        assert len(shown) >= len(kept) - len(seen), "a letter that waited is not shown"
        self._await_noted(name, kept)
        assert not self._shown_at_login(name), "a letter is shown again that was noted as seen"

    def _write_again(self, unanswered: list[tuple[str, str, str]], stored: dict[str, int]) -> None:
        """Write what nobody has answered: all of it is stored then, once; what is new is shown."""
        present = self._log_in(PRESENT)
        for name in sorted({name for name, _, _ in unanswered}):
            writer = self._log_in(name)
            mine = [(to, body) for writes, to, body in unanswered if writes == name]
            asked = [writer.ask("msg", user=to, body=body, txn=body) for to, body in mine]
            for number in asked:
                assert writer.answer(number)["ok"]
        present.catch_up()
        shown = {PRESENT: _letters(present), ABSENT: self._shown_at_login(ABSENT)}
        present.call("quit")
        present.receive_end()
        for recipient, letters in shown.items():
            kept = self._stored(recipient)
            bodies = [body for _, body in kept]
            assert sorted(bodies) == sorted(
                {body for _, to, body in self._asked if to == recipient}
            )
            assert letters == [each for each in kept if each[1] not in stored]
            self._await_noted(recipient, kept)

    def check_mail(self, reader: Program, kept: list[Letter], *, is_noted: bool) -> None:
        """Check what is shown to one who read all at a login, before the kill."""
        assert _letters(reader) == kept, "what waited was not shown whole"
        again = self._shown_at_login(ABSENT)
        assert again == ([] if is_noted else kept), "noted, and shown again, or the reverse"
        self._await_noted(ABSENT, kept)
        assert not self._shown_at_login(ABSENT)

    def _shown_at_login(self, name: str) -> list[Letter]:
        program = self._log_in(name)
        program.catch_up()
        program.call("quit")
        program.receive_end()
        return _letters(program)

    def _await_noted(self, name: str, kept: list[Letter]) -> None:
        """Wait until it is stored that somebody has seen what was written to them."""
        newest = max((number for number, _ in kept), default=0)

        def is_noted() -> bool:
            with self._server.database() as database:
                query = "SELECT private_seen_id FROM users WHERE name = ?"
                [(seen,)] = database.execute(query, [name])
            return seen >= newest

        wait_until(is_noted, f"it is noted what {name} has seen")

    def _stored(self, recipient: str) -> list[Letter]:
        statement = (
            "SELECT messages.id, body FROM messages JOIN users ON users.id = recipient_id"
            " WHERE users.name = ? AND body LIKE ? ORDER BY messages.id"
        )
        with self._server.database() as database:
            mine = [recipient, f"letter-{self._kill}-%"]
            return database.execute(statement, mine).fetchall()


def acknowledged(program: Program, op: str) -> Iterator[tuple[str, int]]:
    """Yield what was said by an operation and answered, each with its id."""
    answered = {line["id"]: line for line in program.lines if "event" not in line}
    for number, request in program.requests.items():
        if request["op"] == op and number in answered:
            yield request["body"], answered[number]["message_id"]


def _letters(program: Program) -> list[Letter]:
    lines = (line for line in program.lines if line.get("event") == "private")
    return [(line["id"], line["body"]) for line in lines]
