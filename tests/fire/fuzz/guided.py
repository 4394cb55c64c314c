"""A fuzzer of bytes with a guide: atheris keeps the inputs that reach new code of ours.

    python -m tests.fire.fuzz.guided NAME [libFuzzer's options, like -max_total_time=60]

It needs `pip install atheris`, which is no part of the development environment: it is there for
few versions of Python. What it finds worth keeping is put into .hypothesis/guided/NAME.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Let atheris try inputs until it is told to stop, or one fails."""
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed: pip install atheris (or: make fire ARGS=fuzz)")
    with atheris.instrument_imports(include=["app"]):
        from tests.fire.fuzz.batches import FUZZERS
    if sys.argv[1:2] in ([], ["--help"]) or sys.argv[1] not in FUZZERS:
        sys.exit(f"say which: {', '.join(FUZZERS)}")
    fuzzer = FUZZERS[sys.argv.pop(1)]
    kept = Path(".hypothesis/guided") / fuzzer.name
    kept.mkdir(parents=True, exist_ok=True)
    with fuzzer.around():
        atheris.Setup([*sys.argv, str(kept)], lambda data: fuzzer.try_one(data, [*data[-3:]]))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
