"""The bench's own arithmetic: what moved and what is noise, and what a stored run is made into."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

BENCH = Path(__file__).parents[2] / "bench"
FIGURES = {
    "deliveries_per_second": 20_000.0,
    "cpu_us_per_delivery": 5.0,
    "latency_p50_ms": 8.0,
    "latency_p99_ms": 16.0,
    "rss_bytes": 1 << 27,
    "rss_peak_bytes": 1 << 27,
    "server_share": 0.5,
    "generator_share": 0.5,
    "server_core_lost_share": 0.0,
}


class Bench:
    """The modules of bench/ that need no server: it is a program, and no package."""

    pairs: ModuleType
    page: ModuleType
    picture: ModuleType
    results: ModuleType

    def __init__(self) -> None:
        for name in ("pairs", "page", "picture", "results"):
            setattr(self, name, __import__(name))


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    before = set(sys.modules)
    sys.path.insert(0, str(BENCH))
    try:
        yield Bench()
    finally:
        sys.path.remove(str(BENCH))
        for name in set(sys.modules) - before:
            if BENCH in Path(getattr(sys.modules[name], "__file__", None) or "/").parents:
                del sys.modules[name]


def _moved(bench: Bench, ratios: list[float], lost: float = 0.0) -> dict[str, str]:
    """Play a pair for each ratio of the CPU; return the verdict on each figure."""
    results = []
    for number, ratio in enumerate(ratios):
        for server, factor in (("old", 1.0), ("new", ratio)):
            cost = FIGURES["cpu_us_per_delivery"] * factor
            figures = FIGURES | {"cpu_us_per_delivery": cost, "server_core_lost_share": lost}
            results.append(bench.results.Result("large", server, number, figures))
    found = bench.pairs.movements(results, "old", "new")
    return {movement.figure: movement.verdict for movement in found}


# A figure has moved when no toss of coins would explain it, and when it is worth a word.
@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ([1.2, 1.1, 1.3, 1.2, 1.1, 1.4], "worse"),
        ([0.8, 0.9, 0.7, 0.8, 0.9, 0.6], "better"),
        ([1.2, 1.1, 1.3, 0.99, 1.1, 1.4], ""),  # one of six on the other side
        ([1.2] * 8 + [0.9], "worse"),  # one of nine may be
        ([1.02, 1.03, 1.02, 1.03, 1.02, 1.03], ""),  # surely moved, by next to nothing
        ([1.5] * 5, "too few"),
    ],
)
def test_tells_what_moved_from_noise(bench: Bench, ratios: list[float], verdict: str) -> None:
    assert _moved(bench, ratios) == {"cpu_us_per_delivery": verdict}


# Of deliveries a second more are better; at a given pace they say nothing and are not compared.
def test_knows_which_way_is_better(bench: Bench) -> None:
    played = [
        bench.results.Result("burst", server, number, {"deliveries_per_second": speed})
        for number in range(6)
        for server, speed in (("old", 10.0), ("new", 20.0 + number))
    ]
    [movement] = bench.pairs.movements(played, "old", "new")
    assert movement.verdict == "better"
    assert "deliveries_per_second" not in _moved(bench, [1.2] * 6)


# Pairs in which others had the core are left out, unless there is nothing else.
def test_leaves_out_what_others_disturbed(bench: Bench) -> None:
    quiet, disturbed = FIGURES, FIGURES | {"server_core_lost_share": 0.5}
    results = []
    for number in range(8):
        dear = disturbed if number < 2 else quiet
        dear = dear | {"cpu_us_per_delivery": 50.0 if number < 2 else 5.0 + number / 100}
        results.append(bench.results.Result("large", "old", number, quiet))
        results.append(bench.results.Result("large", "new", number, dear))
    [movement] = bench.pairs.movements(results, "old", "new")
    assert (len(movement.ratios), movement.pairs_played) == (6, 8)
    assert max(movement.ratios) < 2
    assert _moved(bench, [1.2] * 6, lost=0.5)["cpu_us_per_delivery"] == "worse"


def _report(bench: Bench) -> object:
    """A run of two servers and the relay, one of them with a round that failed."""
    summary = bench.results.Summary
    cheap = FIGURES | {"cpu_us_per_delivery": 2.5}
    return bench.results.Report(
        made_at="2026-11-23",
        command="python bench --rounds 2",
        machine={"cpu": "a <fast> one"},
        summaries=[
            summary("large", "greenroom", [FIGURES, FIGURES], []),
            summary("large", "redis", [cheap], ["it <died>"]),
            summary("large", "relay", [cheap], []),
            summary("idle", "greenroom", [{"rss_per_session_bytes": 12_800.0}], []),
            summary("slow", "greenroom", [FIGURES | {"latency_p99_ratio": 1.5, "cut": 0.0}], []),
        ],
        remarks=["nats: not installed, left out"],
    )


# What is stored is all there was: it makes the same picture, byte for byte, and the same page.
def test_is_drawn_the_same_from_what_is_stored(bench: Bench, tmp_path) -> None:
    report = _report(bench)
    report.save(tmp_path / "run.json")
    stored = bench.results.Report.load(tmp_path / "run.json")
    assert stored == report
    assert bench.picture.draw(stored) == bench.picture.draw(report)
    assert [*bench.page.block(stored)] == [*bench.page.block(report)]


# The picture is XML, and has each server's figure in words; the relay is no contender.
def test_draws_each_figure(bench: Bench) -> None:
    picture = ElementTree.fromstring(bench.picture.draw(_report(bench)))
    texts = [element.text for element in picture.iter() if element.text]
    assert {"5.00 us", "2.50 us", "16.00 ms", "12.5 KiB", "1.50"} <= set(texts)
    assert texts.count("redis") == 2
    assert "relay" not in texts


# Only what is between the marks is replaced; the page says who lost, what failed and what missed.
def test_writes_its_block_into_the_page(bench: Bench, tmp_path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"by hand\n{bench.page.BEGIN}\nold\n{bench.page.END}\nby hand too\n")
    bench.page.publish(_report(bench), tmp_path)
    text = page.read_text()
    assert text.startswith("by hand\n")
    assert text.endswith("\nby hand too\n")
    assert "old" not in text
    for line in (
        "| large | **Greenroom** | 20.0 k/s | 5.00 | 8.00 | 16.00 | 128.0 MiB | **2.00** |",
        "- nats: not installed, left out",
        "- large, redis: a round failed: it <died>",
        "slow, greenroom: latency p99 ratio is 1.5, at most 1.1 is wanted",
        "cut is 0, 1 is wanted",
    ):
        assert line in text
    assert {"performance.json", "performance.svg"} <= {path.name for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="no block"):
        bench.page.with_block("a page without marks", "")


# The page of this repository has the marks, so that a run can be published.
def test_the_page_has_its_block(bench: Bench) -> None:
    page = (BENCH.parent / "docs" / "performance.md").read_text()
    assert bench.page.with_block(page, "new").count("new\n") >= 1
