"""A mistyped time is refused on every wire: nobody is banned for good by it, and nothing ends."""

from dataclasses import MISSING, fields
from functools import partial

from app.protocol import COMMANDS
from app.protocol.command import Command, Level
from app.terminal.typed import read_request
from tests.kit.commands import refused

SLIPS = (
    *("5x", "60", "1.5h", "10min", "3mo", "2nd", "1h30", "0x10", "1_0m", "-5m", "+5m", ".5h"),
    *("\u0663m", "\u00b2m", "\uff12h", "\u00bdh", "\u221e", "\u22125m"),
)
HINT = "try 30m, 2h30m, 7d or 2w; or begin the reason with a word"
GOOD_SPANS = {"2H": "for 2h", "1w": "for 7d", "1h30m": "for 90m", "": "for good"}


def _lasts(kind: type[Command]) -> bool:
    """Whether a command takes a time that may be left out, and then a reason."""
    defaults = {field.name: field.default for field in fields(kind)}
    return defaults.get("seconds", MISSING) is None and "reason" in defaults


LASTING = [kind for kind in COMMANDS.values() if _lasts(kind)]


# What begins with a digit and is no time is no reason either, for each command that lasts, whoever
# asks for it: a person, a program, manage.py chat, or the operator.
def test_a_slip_of_a_time(server, run_here, new_name) -> None:
    run = partial(run_here, server.folder)
    admin, bob, room = new_name("admin"), new_name("bob"), new_name("room")
    for name, *flags in ((admin, "--admin"), (bob,)):
        run("createuser", name, "--password", "secret", *flags)
    person = server.connect().log_in(admin).join(room)
    program = server.program().log_in(admin).join(room)
    typed = [kind for kind in LASTING if kind.least is not Level.OPERATOR]
    assert {kind.word for kind in typed} == {"ban", "mute", "serverban", "servermute"}
    for slip in SLIPS:
        told = f"Error: {slip} is no time span: {HINT}"
        for kind in typed:
            person.exchange(f"/{kind.word} {bob} {slip} spam", told)
            whom = {"target" if kind.word.startswith("server") else "user": bob}
            assert program.refused(kind.op, **whom, reason=f"{slip} spam") == "bad_arguments"
            request = read_request(f"/{kind.word} {bob} {slip} spam", room)
            assert program.refused(request.op, **request.fields) == "bad_arguments"
        for words in (("ban", bob), ("mute", bob), ("ban", bob, "--room", room)):
            assert f"Error: {refused(run(*words, '--', slip, 'spam'))}" == told
    assert refused(run("shutdown", "5x", "new", "disk")).startswith("5x is")
    told = run("shutdown", "5m", "new", "disk").stderr
    assert told.endswith("Error: did you mean --in 5m? Without --in it is at once\n")
    for words in (("",), (" ", "spam"), ("", "spam", "--room", room)):  # a variable that is not set
        for act in ("ban", "mute"):
            told = refused(run(act, bob, *words))
            assert told == "the time is empty; leave it out, and it is for good"
    assert run("bans").stdout == ""
    server.connect().log_in(bob)


# How long a ban holds is said where it is told: for good, if no time was given.
def test_how_long(server, run_here, new_name) -> None:
    owner, bob = server.connect().register(new_name("owner")), new_name("bob")
    owner.join(new_name("room"))
    server.connect().register(bob)
    for span, told in GOOD_SPANS.items():
        owner.exchange(f"/mute {bob} {span}", f"{bob} was muted by {owner.name} {told}.")
        result = run_here(server.folder, "ban", bob, *span.split(), "--room", owner.room)
        assert result.stdout == f"{bob} was banned from {owner.room} {told}.\n"
        owner.expect_lines(f"{bob} was banned by (operator) {told}.")
