"""How figures are written for people: by the unit that their name ends with."""

BYTES_PER_KIB = 1 << 10
BYTES_PER_MIB = 1 << 20
BIG = 100  # from here on without decimals


def label(name: str) -> str:
    """Return what a figure is called beside its quantity, which has the unit."""
    for ending in ("_bytes", "_share", "_per_second", "_ms", "_seconds"):
        name = name.removesuffix(ending)
    return name.replace("_", " ")


def quantity(name: str, value: float) -> str:
    """Return a figure with its unit, as short as it can be read: `64.52 M/s`, `12.8 KiB`."""
    if name.endswith("_bytes"):
        return _bytes(value)
    if name.endswith("_share"):
        return f"{value:.1%}"
    if name.endswith("_per_second"):
        return f"{_short(value)}/s"
    for ending, unit in (("_ms", " ms"), ("_seconds", " s"), ("_us_per_delivery", " us")):
        if name.endswith(ending):
            return f"{value:.{0 if value >= BIG else 2}f}{unit}"
    return f"{value:,.0f}" if value == int(value) else f"{value:.2f}"


def _short(number: float) -> str:
    """Write 83,156,268 as 83.16 M, 20,001 as 20.0 k, and 33.6 as it is."""
    if number >= 1e6:
        return f"{number / 1e6:.2f} M"
    return f"{number / 1e3:.1f} k" if number >= 1e3 else f"{number:.1f}"


def _bytes(number: float) -> str:
    if abs(number) >= BYTES_PER_MIB:
        return f"{number / BYTES_PER_MIB:,.1f} MiB"
    return f"{number / BYTES_PER_KIB:,.1f} KiB"
