"""How much of everything a run has: all that the figures of the docs need, or a quick look."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """The sizes of the scenes."""

    burst_messages: int  # that each of ten speakers sends into 200; a quarter of it into 1,000
    seconds: int  # of a steady load
    rooms: int  # of ten
    large: int  # readers in one room
    logins: int  # at once
    idle_sessions: int
    stored_messages: int
    pages: int  # of the history, at each depth
    herd: int  # programs that come back
    slow_pairs: int  # of a load without a stopped reader, and one with it
    file_mib: int  # in all, each way


FULL = Scale(
    burst_messages=20_000,
    seconds=10,
    rooms=100,
    large=500,
    logins=300,
    idle_sessions=10_000,
    stored_messages=1_000_000,
    pages=300,
    herd=2_000,
    slow_pairs=3,
    file_mib=1_024,
)
QUICK = Scale(
    burst_messages=4_000,
    seconds=2,
    rooms=10,
    large=100,
    logins=50,
    idle_sessions=200,
    stored_messages=50_000,
    pages=50,
    herd=200,
    slow_pairs=1,
    file_mib=64,
)
