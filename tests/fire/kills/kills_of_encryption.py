"""A server is killed while two devices use what it has for encryption; see failpoints.py.

1. No key is handed out twice; one that nobody was told of may be gone.
2. What was said to a device is there once, also when it is said again, until it was let go.
3. A list of devices that was acknowledged is the one that is shown.
4. A room that anybody was shown to be encrypted is so, and takes nothing in the clear.
5. Who belongs to it, and by which revision, is all that anybody was shown, or more.
6. An encrypted message is stored once, under the id that was told, and so when said again.
"""

from collections.abc import Callable
from typing import Any

from tests.kit.program import Line, Program
from tests.kit.signing import Device, manifest, new_aik

_KEYS = 2  # left before each kill; one of them is claimed
_MEMBERS = {1: {"alice"}, 2: {"alice", "bob"}, 3: {"alice"}}  # by the revision that makes it so


class Encryption:
    """Two people with a device each, who do the same again before each kill."""

    def __init__(self, log_in: Callable[[str], Program]) -> None:
        self._log_in = log_in
        self._aik = new_aik()
        self._seq = 0  # of the newest list of devices that there is for certain
        self._handed_out: set[str] = set()
        self._kills = 0
        self._alice, self._bob = (Device(log_in(name)) for name in ("alice", "bob"))

    def _come_back(self) -> None:
        for device in (self._alice, self._bob):
            device.program = self._log_in(device.user)
            device.put()

    def kill(self, arm: Callable[[], None], start_again: Callable[[], None]) -> None:
        """Let the server end in the middle, and check. Raises AssertionError."""
        self._kills += 1
        self._come_back()
        self._alice.program.join(self._room)
        self._bob.offer(_KEYS, first=self._kills * _KEYS + 1)
        arm()
        asked = self._act()
        for device in (self._alice, self._bob):
            device.program.receive_end()
        seen = [*self._alice.program.lines, *self._bob.program.lines]
        answered = {each: self._answer_to(*asked[each]) for each in asked}
        start_again()
        self._come_back()
        self._check_keys(answered.get("claim"))
        self._check_mail(asked, answered)
        self._check_list(answered.get("list"))
        self._check_room(seen, answered.get("encrypt"))
        self._check_said(seen, asked, answered.get("say"))

    @property
    def _room(self) -> str:
        return f"den{self._kills}"

    @property
    def _txn(self) -> str:
        return f"t{self._kills}"

    @property
    def _letter(self) -> Line:
        return {"txn": self._txn, "msgs": [{**self._bob.address, "body": self._txn}]}

    @property
    def _words(self) -> Line:
        enc = {"alg": "megolm.v1", "sid": "session", "ct": self._txn}
        return {"room": self._room, "enc": enc, "txn": self._txn}

    def _list(self, seq: int) -> dict[str, str]:
        return manifest(self._aik, "alice", seq, self._alice)

    def _act(self) -> dict[str, tuple[Program, int]]:
        """Do one thing after the other until the server is gone; return what was asked, of whom."""
        alice, bob, room = self._alice.program, self._bob.program, self._room
        asked: dict[str, tuple[Program, int]] = {}

        def do(name: str, program: Program, op: str, **fields: Any) -> bool:
            try:
                asked[name] = program, program.ask(op, **fields)
            except OSError:
                return False
            return program.hears(b'{"id":%d,' % asked[name][1])

        done = (
            do("claim", alice, "keys.claim", targets=[self._bob.address])
            and do("send", alice, "td.send", **self._letter)
            and do("take", bob, "td.ack", upto=(1 << 53) - 1)
            and do("list", alice, "keys.manifest.put", **self._list(self._seq + 1))
            and do("encrypt", alice, "room.encrypt", room=room)
            and do("enter", bob, "join", room=room)
            and do("say", alice, "say", if_rev=2, **self._words)
            and do("leave", bob, "leave", room=room)
        )
        assert not done, "the stage was not passed"
        return asked

    @staticmethod
    def _answer_to(program: Program, number: int) -> Line | None:
        answers = [line for line in program.lines if line.get("id") == number]
        answer = next((line for line in answers if "event" not in line), None)
        assert answer is None or answer["ok"], answer
        return answer

    def _check_keys(self, told: Line | None) -> None:
        claims = [told] if told else []
        while not claims or claims[-1]["keys"]:
            claims.append(self._alice.claim(self._bob))
        given = [key["key"]["payload"] for claim in claims for key in claim["keys"]]
        assert len(given) >= _KEYS - (told is None), "a key is gone that nobody asked for"
        assert len(set(given)) == len(given), "a key was handed out twice"
        assert not self._handed_out & set(given), "a key of before was handed out again"
        self._handed_out.update(given)

    def _check_mail(self, asked: dict[str, Any], answered: dict[str, Line | None]) -> None:
        before = self._bob.bodies()
        assert before in ([], [self._txn]), "an item is there twice, or too long"
        if answered.get("send") and "take" not in asked:
            assert before, "an item that was acknowledged is gone"
        if answered.get("take"):
            assert not before, "an item that was let go is back"
        assert self._alice.program.call("td.send", **self._letter)["failed"] == []
        after = self._bob.bodies()
        assert after == before or not answered.get("send"), "said again, it is there again"
        assert after == ([] if "take" in asked and not before else [self._txn])
        self._bob.program.call("td.ack", upto=(1 << 53) - 1)

    def _check_list(self, told: Line | None) -> None:
        next_list = self._list(self._seq + 1)
        query = {"users": ["alice"]}
        shown = self._alice.program.call("keys.query", **query)["users"]["alice"]["manifest"]
        if shown != next_list:
            assert told is None, "a list of devices that was acknowledged is gone"
            assert shown == (self._list(self._seq) if self._seq else None)
            self._alice.program.call("keys.manifest.put", **next_list)
        self._seq += 1

    def _check_room(self, seen: list[Line], told: Line | None) -> None:
        alice, room = self._alice.program, self._room
        alice.join(room)
        found = alice.call("room.roster", room=room)
        mine = [line for line in seen if line.get("room") == room and "event" in line]
        if told or any(line["event"] in ("encrypted", "roster") for line in mine):
            assert found["e2ee"], "a room that was encrypted is not"
        if not found["e2ee"]:
            alice.call("room.encrypt", room=room)
            return
        assert alice.refused("say", room=room, body="in the clear") == "e2ee_required"
        revisions = [line["rev"] for line in mine if line["event"] == "roster"]
        assert found["rev"] >= max(revisions, default=1), "a revision that was shown is gone"
        assert set(found["members"]) == _MEMBERS[found["rev"]], "it is not who belongs to it"

    def _check_said(self, seen: list[Line], asked: dict[str, Any], told: Line | None) -> None:
        alice, room = self._alice.program, self._room
        ids = {line["id"] for line in seen if line.get("event") == "message"}
        ids |= {told["message_id"]} if told else set()
        assert len(ids) <= 1
        rev = alice.call("room.roster", room=room)["rev"]
        stored = alice.call("say", if_rev=rev, **self._words)["message_id"]
        assert ids <= {stored}, "said again, it is another message"
        page = alice.call("history", room=room)["messages"]
        assert [line["id"] for line in page] == [stored], "it is stored twice, or not at all"
