"""Floods of password hashes (Keycloak 28477), and guessing who exists (CVE-2018-15473)."""

import itertools
import statistics
import time

from tests.fire.chaos.server import PASSWORD
from tests.fire.siege import attackers
from tests.fire.siege.defenders import couple, expect_prompt_talk, expect_served, newcomers
from tests.fire.siege.siege import Scene, Siege
from tests.kit.ndjson import request_line
from tests.kit.program import Program

FLOOD, BURSTS, PAUSE_SECONDS = 200, 50, 0.25
VICTIMS = [f"victim{number}" for number in range(FLOOD)]
TALKERS, ROOM = ["anna", "bert"], "pub"
ANSWER_SECONDS_MAX = 5.0
CALM_SECONDS_MAX = 3.0
PING_SECONDS_MAX = 0.2  # behind 200 who come, or hang up, in the same moment
GROWTH_MB_MAX = 96.0  # 19 for a hash under way, and what those hold who came at once

GUESSED = 200
KNOWN = [f"known{number}" for number in range(GUESSED)]
GUESSES_AN_ADDRESS = 10  # half of what one address may fail in a minute
MEDIANS_APART_MS_MAX = 5.0


def flood(siege: Siege) -> None:
    """200 users log in with the right password and hang up at once, 50 times; two others talk.

    A right password is the worst: nothing that counts failures ever stops them.
    """
    first, second = (siege.come(name).join(ROOM) for name in TALKERS)
    first.event("joined")
    grown = siege.server.watch_memory()
    said = [request_line("login", name=name, password=PASSWORD) for name in VICTIMS]
    with newcomers(siege) as logins, couple(siege, first, second) as heard:
        siege.attack(attackers.ask_and_hang_up, said, BURSTS, PAUSE_SECONDS).result()
    expect_served(siege, logins, ANSWER_SECONDS_MAX, "meanwhile")
    expect_prompt_talk(siege, heard, "meanwhile")
    siege.findings.at_most("memory at its highest", grown() / 1e6, GROWTH_MB_MAX, "MB more")
    began = time.monotonic()
    siege.findings.equal("a login afterwards", siege.log_in(), "ok")
    siege.findings.at_most("it takes", time.monotonic() - began, CALM_SECONDS_MAX, "s")


def guess(siege: Siege) -> None:
    """Try a wrong password on names that are known and on others; compare.

    Which of a pair comes first is left to chance.
    """
    words: dict[str, set[str]] = {"known": set(), "unknown": set()}
    took: dict[str, list[float]] = {"known": [], "unknown": []}
    addresses = (f"127.6.0.{number}" for number in itertools.count(1))
    for number, name in enumerate(KNOWN):
        if number % (GUESSES_AN_ADDRESS // 2) == 0:
            source = next(addresses)
        guesses = [("known", name), ("unknown", name.replace("known", "never"))]
        guesser = Program(siege.server.port, source=source)
        guesser.call("ping")
        for kind, guessed in siege.random.sample(guesses, 2):
            began = time.monotonic()
            answer = guesser.answer(guesser.ask("login", name=guessed, password="a guess"))
            took[kind].append(time.monotonic() - began)
            words[kind].add(f"{answer['error']}: {answer['message']}")
        guesser.close()
    siege.findings.equal("words", words["known"] | words["unknown"], words["known"])
    siege.findings.equal("how many different ones", len(words["known"] | words["unknown"]), 1)
    known, unknown = (statistics.median(took[kind]) * 1_000 for kind in ("known", "unknown"))
    what = f"medians of {GUESSED} each ({known:.1f} and {unknown:.1f} ms) apart"
    siege.findings.at_most(what, abs(known - unknown), MEDIANS_APART_MS_MAX, "ms")


FLOOD_SCENE = Scene(
    "hashes",
    f"{FLOOD} users log in and hang up at once, {BURSTS} times; two others talk",
    flood,
    people=[*VICTIMS, *TALKERS],
    answer_seconds_max=PING_SECONDS_MAX,
)
GUESS_SCENE = Scene(
    "guessing",
    f"wrong passwords for {GUESSED} names that are known, and {GUESSED} that are not",
    guess,
    people=KNOWN,
)
