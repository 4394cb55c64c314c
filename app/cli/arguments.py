"""Types of arguments: time spans (30m, 2h, 7d), numbers, names, paths."""

from __future__ import annotations

from typing import Any

import click


class _Span(click.ParamType[int]):
    """Reads a time span as whole seconds."""

    name = "SPAN"

    def convert(
        self, value: str, param: click.Parameter | None, context: click.Context | None
    ) -> int:
        from app.values.times import parse_span

        try:
            seconds = parse_span(value)
        except ValueError as error:
            self.fail(str(error), param, context)
        if seconds is None:
            self.fail(f"{value} is no time span: try 30m, 2h or 7d", param, context)
        return seconds


SPAN = _Span()


class _Whole(click.IntRange):
    """Reads a whole number from 1."""

    def __init__(self) -> None:
        super().__init__(1)

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> Any:
        """Return the number. Fails for a sign, or for other digits than 0 to 9."""
        from app.values.sizes import parse_whole

        if isinstance(value, str) and parse_whole(value) is None:
            self.fail(f"{value!r} is no whole number", parameter, context)
        return super().convert(value, parameter, context)


WHOLE = _Whole()


class _Filled(click.ParamType[str]):
    """A name that narrows a command. It is not empty: that would mean everything."""

    name = "TEXT"

    def convert(
        self, value: str, param: click.Parameter | None, context: click.Context | None
    ) -> str:
        if value == "":
            self.fail("it is empty", param, context)
        return value


FILLED = _Filled()


class PathType(click.Path):
    """A path.

    It is not empty: that would be the current folder. `~` is the home folder also where no shell
    sees it: --output=~/x.
    """

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> Any:
        """Return the path. Fails for the home folder of an unknown user."""
        from app.values.addresses import expand_home

        if value == "":
            self.fail("it is empty", parameter, context)
        try:
            value = expand_home(value)
        except ValueError as error:
            self.fail(str(error), parameter, context)
        return super().convert(value, parameter, context)
