"""What goes on for longer than a test: `make fire ARGS="KIND ..."`, or python -m tests.fire KIND.

Each says with `--help` what it takes, tells its seed, and ends with 0 when all of it holds.
"""

import signal
import sys
from importlib import import_module
from pathlib import Path

import pytest

KINDS = {
    "chaos": ("chaos.kind", "let everything go wrong under 200 clients: --minutes 20"),
    "siege": ("siege.kind", "let masses come, and hold numbers against bounds: --only tls"),
    "fuzz": ("fuzz.run", "try inputs that nobody would think of: --minutes 10"),
    "failpoints": ("kills.failpoints", "kill a server at every stage: --each 50"),
    "kills": ("kills.encryption_kills", "kill a client that encrypts: --kills 200"),
    "cuts": ("kills.cuts", "cut a client off while it talks: --cuts 200"),
    "power": ("power.power_loss", "cut the power, and open the disk: --cuts 1000"),
    "mutants": ("mutants.mutants", "take each check out, and see a test notice: WORD"),
    "canary": ("", "run the attacks, and see that nobody else waits: -k WORD"),
}
_ATTACKS = Path(__file__).parents[1] / "attacks"


def main(arguments: list[str]) -> None:
    """Do what was asked, or say what can be. Raises SystemExit."""
    kind = arguments[0] if arguments else ""
    if kind not in KINDS:
        width = max(map(len, KINDS))
        print(*(f"{each:{width}}  {what}" for each, (_, what) in KINDS.items()), sep="\n")
        sys.exit(2 if kind else 0)
    if kind == "canary":
        sys.exit(pytest.main(["--canary", str(_ATTACKS), *arguments[1:]]))
    module = import_module(f"tests.fire.{KINDS[kind][0]}")
    module.KIND.main(f"make fire ARGS={kind}", arguments[1:])


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing stays behind
    main(sys.argv[1:])
