"""Flows: what is to be asked of the server, one request after the other. Pure.

A flow is a generator. It yields an `Ask`, and is sent the answer, or has a `ServerRefused` thrown
into it; what it returns is its result. So whoever has a connection drives it, and whoever has none,
such as a test, drives it as well, and may stop at any step as a crash would.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

Json = dict[str, Any]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Ask:
    """A request: an operation of the protocol, and its fields."""

    op: str
    fields: Json


Flow = Generator[Ask, Json, Result]


class ServerRefused(Exception):
    """The server refused a request; `code` is one of the protocol's."""

    def __init__(self, code: str, sentence: str = "") -> None:
        super().__init__(sentence or code)
        self.code = code


def run(flow: Flow[Result], ask: Callable[[str, Json], Json]) -> Result:
    """Drive a flow to its end; `ask` returns the answer, or raises ServerRefused.

    Anything else that it raises, such as a lost connection, ends the flow where it is: what was not
    answered is in the store, and goes out when the device starts again.
    """
    try:
        request = next(flow)
        while True:
            try:
                answer = ask(request.op, request.fields)
            except ServerRefused as refusal:
                request = flow.throw(refusal)
            else:
                request = flow.send(answer)
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        flow.close()
