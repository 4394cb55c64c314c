"""Which wires there are."""

from app.wires.ndjson.ndjson import NdjsonWire
from app.wires.text.text import TextWire
from app.wires.wire import Wire

PEOPLE: type[Wire] = TextWire  # who begins as none of them, or says nothing, is taken for a person
WIRES: tuple[type[Wire], ...] = (NdjsonWire, TextWire)
