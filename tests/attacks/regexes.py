"""Which regexes can take quadratic time or worse, seen from their source alone.

A regex that backtracks tries every way to match a text before it gives up. Their number grows with
the text when two of its loops can read the same text, one going over into the other: of `.+ +x`,
`.+` and ` +` share each run of blanks in as many ways as it has blanks. So it is made an automaton,
and we look for two loops and a text of which all three hold: the first loop reads it and comes
back, the first reads it and ends in the second, the second reads it and comes back. (Weber and
Seidl, 1991: then, and only then, there is no constant bound on the number of ways.) Or one loop can
go round in two ways.

A repeat that is bounded counts as two, and a lookaround as a regex of its own.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from re import _constants as kinds  # what `re` itself makes of a pattern
from re import _parser
from typing import Any

# By state and character read: the states that may read next, and in how many ways each is reached.
_Steps = dict[int, dict[str, Counter[int]]]

_SEVERAL = 2
_REPEATS = (kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT)
_CATEGORIES = {
    kinds.CATEGORY_DIGIT: str.isdigit,
    kinds.CATEGORY_SPACE: str.isspace,
    kinds.CATEGORY_WORD: lambda character: character.isalnum() or character == "_",
}
_NEGATED = {
    kinds.CATEGORY_NOT_DIGIT: kinds.CATEGORY_DIGIT,
    kinds.CATEGORY_NOT_SPACE: kinds.CATEGORY_SPACE,
    kinds.CATEGORY_NOT_WORD: kinds.CATEGORY_WORD,
}
# What tells classes apart that no pattern spells out: of each category one, in ASCII and beyond.
_SAMPLES = "aZ5_ \t\n-/\u00e9\u0663\u00a0\u4e2d\U0001f600\0"


class NotUnderstood(Exception):
    """The pattern has something of which this module can't say what it costs."""


class _Automaton:
    """States, with what each may read and where it leads; and what leads on without reading."""

    def __init__(self) -> None:
        self.reads: dict[int, tuple[Any, Any, int]] = {}  # by state: how, what, where to
        self.skips: dict[int, set[int]] = {}
        self.lookarounds: list[Any] = []
        self._states = 0

    def state(self) -> int:
        self._states += 1
        return self._states

    def skip(self, start: int, end: int) -> None:
        self.skips.setdefault(start, set()).add(end)

    def add(self, items: Iterable[Any], start: int) -> int:
        """Add a sequence that begins at a state, and return where it ends."""
        for how, what in items:
            start = self._add_one(how, what, start)
        return start

    def _add_one(self, how: Any, what: Any, start: int) -> int:
        end = self.state()
        if how in (kinds.LITERAL, kinds.NOT_LITERAL, kinds.ANY, kinds.IN):
            self.reads[start] = (how, what, end)
        elif how is kinds.SUBPATTERN:
            self.skip(self.add(what[-1], start), end)
        elif how is kinds.ATOMIC_GROUP:
            self.skip(self.add(what, start), end)
        elif how is kinds.BRANCH:
            for branch in what[1]:
                begin = self.state()
                self.skip(start, begin)
                self.skip(self.add(branch, begin), end)
        elif how in _REPEATS:
            self._repeat(what, start, end)
        elif how in (kinds.ASSERT, kinds.ASSERT_NOT):
            self.lookarounds.append(what[1])
            self.skip(start, end)
        elif how is kinds.AT:
            self.skip(start, end)
        else:
            raise NotUnderstood(str(how))
        return end

    def _repeat(self, what: Any, start: int, end: int) -> None:
        least, most, body = what
        begin = self.state()
        self.skip(start, begin)
        done = self.add(body, begin)
        if least == 0:
            self.skip(start, end)
        if most is kinds.MAXREPEAT:
            self.skip(done, begin)
        elif most >= _SEVERAL:
            self.skip(self.add(body, done), end)
        self.skip(done, end)

    def after(self, state: int, *before: int) -> Iterator[int]:
        """Yield the states that read next, each once for each way that leads there."""
        if state in self.reads:
            yield state
        for each in self.skips.get(state, ()):
            if each not in before:
                yield from self.after(each, state, *before)


def _reads(how: Any, what: Any, character: str) -> bool:
    if how is kinds.LITERAL:
        return ord(character) == what
    if how is kinds.NOT_LITERAL:
        return ord(character) != what
    if how is kinds.ANY:
        return character != "\n"
    if how is kinds.RANGE:
        return what[0] <= ord(character) <= what[1]
    if how is kinds.CATEGORY:
        plain = _NEGATED.get(what, what)
        return _CATEGORIES[plain](character) == (plain is what)
    is_negated = what[0][0] is kinds.NEGATE
    return any(_reads(*each, character) for each in what[is_negated:]) != is_negated


def _characters(items: Iterable[Any]) -> Iterator[str]:
    """Yield the characters at which a pattern tells texts apart, and their neighbours."""
    for how, what in items:
        if how in (kinds.LITERAL, kinds.NOT_LITERAL, kinds.RANGE):
            for code in what if how is kinds.RANGE else (what,):
                yield from (
                    chr(each) for each in (code - 1, code, code + 1) if 0 <= each < 0x110000
                )
        elif how is kinds.IN:
            yield from _characters(what)
        elif how is kinds.BRANCH:
            yield from (each for branch in what[1] for each in _characters(branch))
        elif how in (kinds.SUBPATTERN, *_REPEATS):
            yield from _characters(what[-1])
        elif how is kinds.ATOMIC_GROUP:
            yield from _characters(what)


def _is_linear(tree: Any, is_searched: bool) -> bool:
    automaton = _Automaton()
    start = automaton.state()
    if is_searched:  # it is tried at each place: a loop that reads anything comes before it
        begin = automaton.state()
        automaton.reads[start] = (kinds.NOT_LITERAL, -1, begin)
        automaton.skip(begin, start)
        start, searching = automaton.state(), start
        automaton.skip(searching, start)
        automaton.skip(begin, start)
    automaton.add(tree, start)
    characters = {*_characters(tree), *_SAMPLES}
    steps = {
        state: {
            character: Counter(automaton.after(end))
            for character in characters
            if _reads(how, what, character)
        }
        for state, (how, what, end) in automaton.reads.items()
    }
    pairs = [(one, two) for one in steps for two in steps if one != two]
    return (
        not any(_comes_back_in_two_ways(steps, state) for state in steps)
        and not any(_share_a_text(steps, *pair) for pair in pairs)
        and all(_is_linear(each, is_searched=False) for each in automaton.lookarounds)
    )


def _comes_back_in_two_ways(steps: _Steps, state: int) -> bool:
    """Whether a state is in a loop of which one step can be made in two ways: (a+)+."""
    for targets in steps[state].values():
        for target, ways in targets.items():
            if ways >= _SEVERAL and state in _reachable(steps, target):
                return True
    return False


def _reachable(steps: _Steps, state: int) -> set[int]:
    seen, left = {state}, [state]
    while left:
        for targets in steps[left.pop()].values():
            left += targets.keys() - seen
            seen |= targets.keys()
    return seen


def _share_a_text(steps: _Steps, one: int, two: int) -> bool:
    """Whether some text leads from one to itself, from one to two, and from two to itself."""
    wanted, left = (one, two, two), [(one, one, two)]
    seen = set(left)
    while left:
        first, middle, last = left.pop()
        for character in steps[first].keys() & steps[middle].keys() & steps[last].keys():
            for a in steps[first][character]:
                for b in steps[middle][character]:
                    for c in steps[last][character]:
                        if (a, b, c) == wanted:
                            return True
                        if (a, b, c) not in seen:
                            seen.add((a, b, c))
                            left.append((a, b, c))
    return False


def is_linear(pattern: str, *, is_searched: bool = False) -> bool:
    """Whether a pattern takes linear time at most; `is_searched` when it may begin anywhere."""
    tree = _parser.parse(pattern)
    if is_searched and tree[-1][0] in _REPEATS:  # a loop at the end does not fail once it was begun
        how, (least, _, body) = tree[-1]
        begun = [*tree[:-1], (how, (least, least, body))]
        return _is_linear(begun, is_searched=True) and _is_linear(tree, is_searched=False)
    return _is_linear(tree, is_searched)
