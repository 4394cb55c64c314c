"""Arguments of a kind: time spans (30m, 2h, 7d), and paths."""

from __future__ import annotations

from typing import Any

import click


class _Span(click.ParamType[int]):
    """Reads a time span as whole seconds."""

    name = "SPAN"

    def convert(
        self, value: str, param: click.Parameter | None, context: click.Context | None
    ) -> int:
        from app.times import parse_span

        try:
            seconds = parse_span(value)
        except ValueError as error:
            self.fail(str(error), param, context)
        if seconds is None:
            self.fail(f"{value} is no time span: try 30m, 2h or 7d", param, context)
        return seconds


SPAN = _Span()


class PathType(click.Path):
    """A path. `~` is the home folder also where no shell sees it: --output=~/x."""

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> Any:
        """Return the path. Fails where it is in nobody's home folder."""
        from app.addresses import expand_home

        try:
            value = expand_home(value)
        except ValueError as error:
            self.fail(str(error), parameter, context)
        return super().convert(value, parameter, context)
