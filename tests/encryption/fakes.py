"""A server in memory that end-to-end encrypted clients talk to, honest or lying, and such clients.

`Server` does what the protocol says, and no more: it checks no signature, for no client relies on
it. A test makes it lie by `server.lies[op] = change`, which gets each answer, or by changing what
it keeps. `Chat` is a person at a client.
"""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.encryption import Device, KeyStore, Notice, ServerRefused, Shown, received, run
from app.encryption.flows import Flow, Json
from app.encryption.payloads import private_room
from app.encryption.postbox import Letter
from app.encryption.sealing import Cost

CHEAP = Cost(memory_kib=8, passes=1)  # for tests: what a guess costs is not their subject
PASSPHRASE = "correct horse battery staple"
HOUR = 3_600_000
DAY = 24 * HOUR
_CALM = ("readers", "new_device")  # what is told though nothing is wrong


class Killed(BaseException):
    """The client's process ended here."""


class Server:
    """See the top of this file. `wire` has all that was ever said to it or by it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000
        self.wire: list[str] = []
        self.asked: list[str] = []
        self.lies: dict[str, Callable[[Json, Chat], Json]] = {}
        self.views: dict[tuple[str, str], str] = {}  # (who asks, of whom): whose keys are shown
        self.refuse: dict[str, list[str]] = defaultdict(list)  # codes to refuse an op with
        self.chats: list[Chat] = []
        self.rooms: dict[str, Json] = {}
        self.devices: dict[str, dict[str, Json]] = defaultdict(dict)
        self.manifests: dict[str, list[Json]] = defaultdict(list)
        self.keys: dict[str, dict[str, Json]] = defaultdict(dict)
        self.fallbacks: dict[str, Json] = {}
        self.used_fallbacks: set[str] = set()
        self.ever: dict[tuple[str, str], Json] = {}  # keys that were offered once
        self.mailboxes: dict[str, list[Json]] = defaultdict(list)
        self.changes: list[str] = []
        self.messages: list[Json] = []
        self.txns: dict[tuple[str, str], Json] = {}
        self._items = 0

    # What clients ask.

    def ask(self, chat: Chat, op: str, fields: Json) -> Json:
        """Answer a request, as over a wire: all of it is JSON."""
        self.wire.append(json.dumps([op, fields]))
        self.asked.append(op)
        if self.refuse[op]:
            raise ServerRefused(self.refuse[op].pop(0))
        handler = getattr(self, "_" + op.replace(".", "_"))
        answer = handler(chat, **json.loads(json.dumps(fields)))
        if op in self.lies:
            answer = self.lies[op](copy.deepcopy(answer), chat)
        self.wire.append(json.dumps(answer))
        return json.loads(json.dumps(answer))

    def push(self, user: str, event: Json) -> None:
        self.wire.append(json.dumps(event))
        for chat in self.chats:
            if chat.account == user:
                chat.events.append(copy.deepcopy(event))

    def push_to_device(self, device: str, event: Json) -> None:
        for chat in self.chats:
            if chat.device.me.device == device:
                chat.events.append(event)

    def _keys_device_put(self, chat: Chat, payload: str, sig: str) -> Json:
        device = json.loads(payload)["device"]["id"]
        self.devices[chat.account][device] = {"payload": payload, "sig": sig}
        return {}

    def _keys_manifest_put(self, chat: Chat, payload: str, sig: str) -> Json:
        manifests = self.manifests[chat.account]
        if json.loads(payload)["seq"] != len(manifests) + 1:
            raise ServerRefused("manifest_conflict")
        manifests.append({"payload": payload, "sig": sig})
        self.changes.append(chat.user)
        for other in {each.account for each in self.chats}:
            self.push(other, {"event": "keys_changed", "users": [chat.user]})
        return {}

    def _keys_otk_put(self, chat: Chat, otk: list[Json], fallback: Json | None) -> Json:
        keys = self.keys[chat.address]
        for key in otk:
            known = self.ever.get((chat.address, key["kid"]))
            if known not in (None, key):
                raise ServerRefused("otk_conflict")
            if known is None:
                keys[key["kid"]] = self.ever[chat.address, key["kid"]] = key
        if fallback:
            self.fallbacks[chat.address] = fallback
            self.used_fallbacks.discard(chat.address)
        unused = chat.address in self.fallbacks and chat.address not in self.used_fallbacks
        return {"otk_count": len(keys), "fallback_unused": unused}

    def _keys_query(self, chat: Chat, users: list[str]) -> Json:
        return {"users": {user: self._keys_of(chat, user) for user in users}}

    def _keys_of(self, chat: Chat, user: str) -> Json:
        account = self.views.get((chat.account, user), user if user != chat.user else chat.account)
        manifests = self.manifests[account]
        devices = list(self.devices[account].values())
        return {"manifest": manifests[-1] if manifests else None, "devices": devices}

    def _keys_claim(self, chat: Chat, targets: list[Json]) -> Json:
        keys, failed = [], []
        for target in targets:
            address = f"{target['user']}/{target['device']}"
            key = None
            if self.keys[address]:
                key = self.keys[address].pop(next(iter(self.keys[address])))
            elif address in self.fallbacks:
                key = self.fallbacks[address]
                self.used_fallbacks.add(address)
            if key is None:
                failed.append(target)
                continue
            signed = {"payload": key["payload"], "sig": key["sig"]}
            keys.append({**target, "key": signed})
            if len(self.keys[address]) < 3:
                self.push_to_device(target["device"], {"event": "keys_low"})
        return {"keys": keys, "failed": failed}

    def _keys_changes(self, chat: Chat, since: int | None) -> Json:
        return {"users": sorted(set(self.changes[since or 0 :])), "next": len(self.changes)}

    def _td_send(self, chat: Chat, txn: str, msgs: list[Json]) -> Json:
        for each in () if (chat.address, txn) in self.txns else msgs:
            self.mail(each["user"], each["device"], each["body"], chat)
            for item in self.mailboxes[f"{each['user']}/{each['device']}"][-1:]:
                item |= {"user": chat.user, "device": chat.device.me.device}
        self.txns[chat.address, txn] = {}
        return {"failed": []}

    def mail(self, user: str, device: str, body: str, chat: Chat) -> None:
        """Put an item into a mailbox, without a word on whose it is in the server's eyes."""
        self._items += 1
        sender = {"user": chat.user, "device": chat.device.me.device}
        self.mailboxes[f"{user}/{device}"].append({"n": self._items, "from": sender, "body": body})
        self.push_to_device(device, {"event": "td"})

    def _td_fetch(self, chat: Chat, after: int, limit: int) -> Json:
        items = [item for item in self.mailboxes[chat.address] if item["n"] > after]
        return {"items": items[:limit]}

    def _td_ack(self, chat: Chat, upto: int) -> Json:
        box = self.mailboxes[chat.address]
        box[:] = [item for item in box if item["n"] > upto]
        return {}

    def _room_encrypt(self, chat: Chat, room: str) -> Json:
        self.rooms[room].update(e2ee=True, e2ee_from=len(self.messages))
        return {}

    def _room_roster(self, chat: Chat, room: str) -> Json:
        return dict(self.rooms[room])

    def _say(self, chat: Chat, room: str, txn: str, if_rev: int, enc: Json) -> Json:
        if (chat.address, txn) in self.txns:
            return self.txns[chat.address, txn]
        if if_rev != self.rooms[room]["rev"]:
            raise ServerRefused("roster_changed")
        if chat.user not in self.rooms[room]["members"]:
            raise ServerRefused("not_a_member")
        event = {"event": "message", "room": room, "enc": enc}
        return self._post(chat, txn, event, self.rooms[room]["members"])

    def _msg(self, chat: Chat, user: str, txn: str, enc: Json) -> Json:
        if (chat.address, txn) in self.txns:
            return self.txns[chat.address, txn]
        event = {"event": "private", "to": user, "enc": enc}
        return self._post(chat, txn, event, {user, chat.user})

    def _post(self, chat: Chat, txn: str, event: Json, to: Any) -> Json:
        answer = {"message_id": len(self.messages) + 1}
        event |= {"user": chat.user, "device": chat.device.me.device, "id": answer["message_id"]}
        self.messages.append(event)
        self.txns[chat.address, txn] = answer
        for user in sorted(to):
            self.push(user, event)
        return answer

    # What happens to rooms.

    def room(self, name: str, *members: str, e2ee: bool = True) -> None:
        self.rooms[name] = {"rev": 1, "e2ee": e2ee, "e2ee_from": 0, "members": list(members)}

    def change_members(self, name: str, *, add: str = "", remove: str = "") -> None:
        room = self.rooms[name]
        room["members"] = sorted({*room["members"], add} - {remove, ""})
        room["rev"] += 1
        for user in room["members"]:
            about = {"room": name, "user": add or remove, "rev": room["rev"]}
            self.push(user, {"event": "roster", **about})

    def settle(self) -> None:
        """Let everybody read what came, until nothing more comes."""
        while any(chat.events for chat in self.chats):
            for chat in self.chats:
                chat.attend()

    def close(self) -> None:
        for chat in list(self.chats):
            chat.leave()


class Chat:
    """A person at a client. `shown` and `notices` are what they see, in order."""

    def __init__(  # who is it, where are the keys, and when is the process killed
        self,
        server: Server,
        user: str,
        folder: Path,
        name: str = "keys",
        account: str = "",
        kill_at: int | None = None,
    ) -> None:
        self.server = server
        self.user = user
        self.account = account or user  # under which the server keeps its keys
        self.path = folder / self.account / f"{name}.db"
        self.events: list[Json] = []
        self.shown: list[Shown] = []
        self.notices: list[Notice] = []
        self.kill_at = kill_at  # how many more steps until this client is killed
        self.come()

    def come(self) -> None:
        """Start the client, and log in."""
        self.store = KeyStore(self.path, PASSPHRASE, CHEAP)
        self.device = Device(self.store, self.user)
        self.events.clear()
        self.server.chats.append(self)
        self.do(self.device.start(self.server.now))

    def come_back(self) -> None:
        """Start the client again."""
        self.leave()
        self.come()

    def leave(self) -> None:
        """End the client, or have it killed: it does nothing on its way out."""
        if self in self.server.chats:
            self.server.chats.remove(self)
            self.store.close()

    @property
    def address(self) -> str:
        return str(self.device.me)

    def do(self, flow: Flow[Any]) -> Any:
        try:
            return run(flow, self.ask)
        finally:
            self._look()

    def act(self, flow: Flow[Any]) -> Any:
        """Do something, and let everybody read what comes of it."""
        answer = self.do(flow)
        self.server.settle()
        return answer

    def write(self, to: Chat, kind: str, content: str = "") -> None:
        """Have this device say something to another one."""
        self.act(self.device._write([Letter(to.device.me, kind, content)], self.server.now))

    def ask(self, op: str, fields: Json) -> Json:
        self.step()
        answer = self.server.ask(self, op, fields)
        self.step()
        return answer

    def step(self) -> None:
        """Go on, unless this is where the client is killed."""
        if self.kill_at is not None:
            self.kill_at -= 1
            if self.kill_at < 0:
                raise Killed

    def attend(self) -> None:
        events, self.events = self.events, []
        for event in events:
            if event["event"] in ("message", "private"):
                self.shown += self.device.read([received(event, self.user)])
            elif self.device.pushed(event):
                self.do(self.device.attend(self.server.now))
        self._look()

    def _look(self) -> None:
        for each in self.device.notices.take():
            if isinstance(each, Shown):
                self.shown.append(each)
            else:
                self.notices.append(each)

    def say(self, body: str, room: str = "den") -> int:
        return self.act(self.device.say(room, body, self.server.now))["message_id"]

    def is_refused(self, why: type[Exception], body: str = "hello", room: str = "den") -> None:
        """Check that nothing is said, and why."""
        with pytest.raises(why):
            self.say(body, room)

    def say_privately(self, user: str, body: str) -> None:
        self.say(body, private_room(self.user, user))

    def read(self, event: Json, *, is_live: bool = False) -> Shown:
        """Show one message as the server brings it: from history, or as new."""
        return self.device.read([received(event, self.user, is_live=is_live)])[0]

    def fetch(self) -> None:
        """Look into the mailbox unasked."""
        self.device.pushed({"event": "td"})
        self.do(self.device.attend(self.server.now))

    @property
    def texts(self) -> list[str]:
        """What was read."""
        return [shown.body for shown in self.shown if shown.refusal is None]

    @property
    def codes(self) -> list[str]:
        """What was told and refused, by code."""
        refused = [shown.refusal.code for shown in self.shown if shown.refusal]
        told = [notice.code for notice in self.notices if notice.code not in _CALM]
        return told + refused
