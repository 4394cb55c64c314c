"""The table of all wires."""

from app.wires.ndjson.ndjson import NdjsonWire
from app.wires.text.text import TextWire
from app.wires.wire import Wire

PEOPLE: type[Wire] = TextWire  # of a client that begins like no other wire's, or says nothing
WIRES: tuple[type[Wire], ...] = (NdjsonWire, TextWire)
