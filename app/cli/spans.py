"""Time spans as arguments: 30m, 2h, 7d."""

from __future__ import annotations

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
