"""Flows: generators that yield requests for the server. Pure.

A flow yields an `Ask`. Its driver sends the answer into it, or throws a `ServerRefused`. The return
value of the generator is the result. The driver needs no connection: a test drives a flow too, and
may stop at any step, as a crash would.
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
    """The server refused a request. `code` is one of the protocol's."""

    def __init__(self, code: str, sentence: str = "") -> None:
        super().__init__(sentence or code)
        self.code = code


def run(flow: Flow[Result], ask: Callable[[str, Json], Json]) -> Result:
    """Drive a flow to its end, and return its result.

    `ask` takes an op and its fields, and returns the answer, or raises ServerRefused. Any other
    exception of `ask`, such as for a lost connection, ends the flow at that step: requests without
    an answer are in the store, and go out when the device starts again. Raises the exceptions of
    the flow and of `ask`.
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
