"""Who encrypts, or claims to, and wants to do harm: to the server, or to others by means of it."""

import re

from tests.server_process import ServerProcess
from tests.signing import Device
from tests.transfers import request

SERVER_SETTINGS = {"MESSAGE_RATE": 0}
STALE = 20


def enc(word: str) -> dict[str, str]:
    return {"alg": "megolm.v1", "sid": "session", "ct": word}


def _commits(server: ServerProcess) -> int:
    page = request(server, "GET", "/metrics").body.decode()
    return int(float(re.search(r"^greenroom_commit_seconds_count (\S+)$", page, re.M)[1]))


# When somebody was sent out of a busy room, all others may say something stale at once: to refuse
# it costs no transaction each, for which everybody on the server would wait in turn.
def test_stale_messages_are_cheap(server: ServerProcess, new_device, new_name) -> None:
    program = new_device().program.join(new_name("den"))
    program.call("room.encrypt")
    before = _commits(server)
    asked = [
        program.ask("say", enc=enc("x"), if_rev=9, txn=f"t-{number}") for number in range(STALE)
    ]
    assert {program.answer(number)["error"] for number in asked} == {"roster_changed"}
    assert _commits(server) - before < STALE
