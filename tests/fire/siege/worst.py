"""Ten anonymous connections that send the worst that is known, at the rate that is allowed."""

from tests.fire.siege import attackers
from tests.fire.siege.siege import Scene, Siege
from tests.kit.client import wait_until
from tests.kit.ndjson import request_line

ATTACKERS = 10
SECONDS = 2.0  # for each of them
LINE_BYTES = 4_090
KB_SECONDS_MAX = 0.001  # of the hub, for a thousand bytes


def _filled(start: str, unit: str, end: str = "") -> bytes:
    """Return a line that is filled with a unit, as long as a line may be."""
    count = (LINE_BYTES - len(start) - len(end)) // len(unit.encode())
    return f"{start}{unit * count}{end}\n".encode()


_HEADERS = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 230) for number in range(62))
WORST = {
    "/send, two runs of blanks": b"/send a" + b" " * 2_030 + b"to" + b" " * 2_030 + b"b c\n",
    "/ban, blanks": _filled("/ban a", " ", "b"),
    "a password of digits": request_line("register", name="a", password="\u0660" * 511 + "\x01"),
    "a name of digits": request_line("login", name="\u06f0" * 1_000, password="x"),
    "names of digits": request_line("keys.query", users=["\u06f0" * 14] * 100),
    "a name of marks": _filled("", "\u0301\u0316"),
    "a name of marks, in JSON": _filled('{"op":"login","name":"a', "\u0301\u0316", '"}'),
    "a subnegotiation without end": b"\xff\xfa" + b"x" * LINE_BYTES,
    "requests of telnet": b"\xff\xfd\x05" * (LINE_BYTES // 3),
    "subnegotiations": b"\xff\xfa\x01\xff\xf0" * (LINE_BYTES // 5),
    "NUL": b"\0" * LINE_BYTES,
    "blank lines": b"\r\n" * (LINE_BYTES // 2),
    "letters that are erased": b"x\x08" * (LINE_BYTES // 2),
    "cursor keys": _filled("", "\x1b[A", "/msg a b"),
    "no UTF-8": b"\xfe" * LINE_BYTES + b"\n",
    "deep JSON": _filled('{"op":', "["),
    "many fields": _filled('{"op":"ping"', ',"a":1', "}"),
    "escapes": _filled('{"op":"login","name":"', "\\ud83d\\ude00", '"}'),
    "a long number": _filled('{"op":"ping","id":', "9", "}"),
    "headers of HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + _HEADERS + b"\r\n",
}


def send_the_worst(siege: Siege) -> None:
    """Send each for a while; the canary has its answers, and the hub does little for it."""
    for name, piece in WORST.items():
        used = siege.server.hub_seconds()
        with siege.prompt_canary(f"ten send {name}"):
            openings = [b""] * ATTACKERS
            pressing = siege.attack(attackers.press, openings, [[piece]] * ATTACKERS, SECONDS)
            sent = pressing.result()
        used = (siege.server.hub_seconds() - used) / (sent / 1_000)
        what = f"hub time for 1,000 bytes of {sent / 1_000:,.0f} KB, {name}"
        siege.findings.at_most(what, used * 1_000, KB_SECONDS_MAX * 1_000, "ms")


def guess_unheard(siege: Siege) -> None:
    """Guess passwords of a server whose log is a pipe that is full and that nobody reads."""
    guess = request_line("login", name="nobody", password="a guess")
    with siege.prompt_canary("wrong passwords, and nobody reads the log"):
        openings = [b""] * ATTACKERS
        pressing = siege.attack(attackers.press, openings, [[guess]] * ATTACKERS, SECONDS)
        wait_until(lambda: siege.server.scrape(), "it tells its figures")
        pressing.result()
    siege.findings.equal("a login from elsewhere", siege.log_in(), "ok")


SCENE = Scene(
    "worst",
    f"{ATTACKERS} anonymous connections send the worst that is known, {len(WORST)} kinds of it",
    send_the_worst,
)
LOG_SCENE = Scene(
    "log",
    "wrong passwords at a server whose log is a pipe that nobody reads",
    guess_unheard,
    has_unread_log=True,
)
