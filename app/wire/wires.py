"""Which wires there are."""

from app.wire.ndjson import NdjsonWire
from app.wire.text import TextWire
from app.wire.wire import Wire

PEOPLE: type[Wire] = TextWire  # who begins as none of them, or says nothing, is taken for a person
WIRES: tuple[type[Wire], ...] = (NdjsonWire, TextWire)
