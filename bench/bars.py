"""What Greenroom wants to keep to: a figure of a scene, and what it may be at most, or least."""

from collections.abc import Iterator

from loads import Figures

MIB = 1 << 20

# By scene: figures end with these names, because files and upkeep have them once a phase.
BARS: dict[str, dict[str, float]] = {
    "slow": {"latency_p99_ratio": 1.1},
    "logins": {"latency_p99_ms": 100, "rss_more_bytes": 64 * MIB},
    "herd": {"back_last_seconds": 60},
    "million": {"latency_p99_ms": 50},
    "files": {"latency_p99_ms": 50, "rss_more_bytes": 64 * MIB},
    "upkeep": {
        "latency_p99_ms": 50,
        "rss_more_bytes": 64 * MIB,
        "command_rss_peak_bytes": 128 * MIB,
    },
}
# Or else what the scene is about did not happen: the stopped reader was not cut.
BARS_BELOW: dict[str, dict[str, float]] = {"slow": {"cut": 1}}


def missed(scene: str, figures: Figures) -> Iterator[str]:
    """Yield a sentence for each bar that the figures miss, or have no figure for."""
    for ending, most in BARS.get(scene, {}).items():
        measured = {name: value for name, value in figures.items() if name.endswith(ending)}
        if not measured:
            yield f"{_words(ending)} was not measured, at most {most:,.4g} is wanted"
        for name, value in measured.items():
            if value > most:
                yield f"{_words(name)} is {value:,.4g}, at most {most:,.4g} is wanted"
    for name, least in BARS_BELOW.get(scene, {}).items():
        if name not in figures:
            yield f"{_words(name)} was not measured, {least:,.4g} is wanted"
        elif figures[name] < least:
            yield f"{_words(name)} is {figures[name]:,.4g}, {least:,.4g} is wanted"


def _words(name: str) -> str:
    return name.replace("_", " ")
