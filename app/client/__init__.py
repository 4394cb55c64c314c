"""The Python client library: `from app.client import Client`.

It needs nothing but Python itself.

stream.py       a socket, plain or TLS, that one thread reads and any thread writes
connection.py   one connection: requests and their answers, events
incoming.py     checks of events and answers; pure
resume.py       how far each room was shown, to come back without a gap; pure
client.py       Client: connections one after the other, as if they were one
"""

from app.client.client import Client
from app.client.connection import CallRefused, ConnectionLost, greeting
from app.client.resume import Backoff

__all__ = ["Backoff", "CallRefused", "Client", "ConnectionLost", "greeting"]
