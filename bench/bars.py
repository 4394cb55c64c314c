"""What Greenroom wants to keep to: a figure of a scene, and what it may be at most."""

from collections.abc import Iterator

from loads import Figures

MIB = 1 << 20

# By scene: figures end with these names, because files and upkeep have them once a phase.
BARS: dict[str, dict[str, float]] = {
    "slow": {"latency_p99_ratio": 1.1},
    "logins": {"latency_p99_ms": 100},
    "million": {"latency_p99_ms": 50},
    "files": {"latency_p99_ms": 50, "rss_more_bytes": 64 * MIB},
    "upkeep": {
        "latency_p99_ms": 50,
        "rss_more_bytes": 64 * MIB,
        "command_rss_peak_bytes": 128 * MIB,
    },
}


def missed(scene: str, figures: Figures) -> Iterator[str]:
    """Yield a sentence for each bar that the figures miss."""
    for ending, most in BARS.get(scene, {}).items():
        for name, value in figures.items():
            if name.endswith(ending) and value > most:
                yield f"{name.replace('_', ' ')} is {value:,.4g}, at most {most:,.4g} is wanted"
