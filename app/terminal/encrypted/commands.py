"""Carry out commands about keys, devices and people."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from app.terminal.files.files import path_of
from app.terminal.typed import Mistyped, Request

if TYPE_CHECKING:
    from app.encryption import Device, Roster
    from app.terminal.encrypted.thread import Encryption  # it needs a library that may be missing

_Fields = Mapping[str, Any]
_Answer = Awaitable[list[str]]


async def encrypt(encryption: Encryption, fields: _Fields, room: str) -> list[str]:
    """Make the room encrypted, for good."""
    await encryption.drive(lambda device, _: device.encrypt_room(room))
    return []  # an event tells all members


async def members(encryption: Encryption, fields: _Fields, room: str) -> list[str]:
    """Tell who can read in the room, or accept newcomers."""
    users = fields.get("users", "").split()
    if users:
        await encryption.drive(lambda device, _: device.accept(room, users))
    roster = await encryption.drive(lambda device, _: device.roster(room))
    keyless = await encryption.drive(lambda device, _: device.keyless(roster.accepted))
    return await encryption.work(lambda device: _roster_lines(device, roster, keyless, room))


def _roster_lines(device: Device, roster: Roster, keyless: list[str], room: str) -> list[str]:
    readers = sorted(roster.accepted.difference(keyless))
    lines = [f"Who reads you in {room}: {', '.join(f'{device.mark(u)} {u}' for u in readers)}"]
    if keyless:
        lines.append(f"Who has no keys yet, and can't: {', '.join(keyless)}")
    if roster.waiting:
        waiting = " ".join(roster.waiting)
        lines.append(f"Who can't yet: {waiting}; type: /members accept {waiting}")
    return lines


async def fingerprint(encryption: Encryption, fields: _Fields, room: str) -> list[str]:
    """Tell the 60 digits to compare with a user's."""
    user = fields["user"]
    digits = (await encryption.drive(lambda device, _: device.fingerprint(user))).split()
    half = len(digits) // 2
    return [
        f"{user} sees the same 60 digits for you, if nobody is in between:",
        f"  {' '.join(digits[:half])}",
        f"  {' '.join(digits[half:])}",
        f"Are they not, somebody is. Three numbers are less to read out: /verify {user}",
    ]


async def verify(encryption: Encryption, fields: _Fields, room: str) -> list[str]:
    """Begin to compare numbers with a user, or go on. `answer` says whether they were the same."""
    user, answer = fields["user"], fields.get("answer")
    if answer is None:
        await encryption.drive(lambda device, at: device.verify(user, at))
        return [f"Comparing with {user}: three numbers come when their client answers."]
    is_same = answer == "yes"
    await encryption.drive(lambda device, at: device.confirm(user, at, is_same=is_same))
    if not is_same:
        return [f"Nothing is sent to {user} until you type /trust {user}."]
    if await encryption.work(lambda device: device.is_first_use(user)):
        return [f"Noted; now {user} has to say so too."]
    return []


async def trust(encryption: Encryption, fields: _Fields, room: str) -> list[str]:
    """Accept the identity that a user has now."""
    user = fields["user"]
    if not await encryption.work(lambda device: device.is_doubted(user)):
        return [f"The identity of {user} has not changed; to be sure of it, type: /verify {user}"]
    await encryption.drive(lambda device, at: device.trust(user, at))
    return [f"The identity that {user} has now is accepted, as at first sight."]


async def devices(encryption: Encryption, fields: _Fields, room: str) -> list[str]:
    """Tell which devices the user has."""
    listed = await encryption.drive(lambda device, _: device.devices())
    me = await encryption.work(lambda device: device.me.device)
    return [
        f"{each.device.id}: {'approved' if is_approved else 'not approved'}"
        f"{', this one' if each.device.id == me else ''}"
        for each, is_approved in listed
    ]


async def device(encryption: Encryption, fields: _Fields, room: str) -> list[str]:
    """Approve or revoke a device, or make a new identity."""
    act, which = fields["act"], fields.get("device", "")
    if act == "approve":
        code = fields["code"]
        await encryption.drive(lambda device, at: device.approve(which, code, at))
        return [f"{which} is approved: it reads from now on what you can."]
    if act == "revoke":
        await encryption.drive(lambda device, _: device.revoke(which))
        return [f"{which} is revoked: nobody encrypts for it any more."]
    return await begin_anew(encryption)


async def begin_anew(encryption: Encryption) -> list[str]:
    """Make another identity of the user."""
    await encryption.drive(lambda device, _: device.begin_anew())
    return ["You have another identity: others are warned, and have to type /trust."]


async def keys(encryption: Encryption, fields: _Fields, room: str) -> list[str]:
    """Export the keys into a new file, or import them."""
    path, passphrase = path_of(fields["path"]), fields["passphrase"]
    try:
        if fields["act"] == "import":
            count, refused = await encryption.work(lambda d: d.import_keys(path, passphrase))
            kept = f"; {refused} contradict what is here, and are not used" if refused else ""
            return [f"{count} keys came from {path}{kept}."]
        data = await encryption.work(lambda device: device.export_keys(passphrase))
    except ValueError as error:
        raise Mistyped("a passphrase is not empty") from error
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(data)
    return [f"{path} has the keys to all that you can read. Carry it over, then remove it."]


COMMANDS: Mapping[str, Callable[[Encryption, _Fields, str], _Answer]] = {
    "encrypt": encrypt,
    "members": members,
    "fingerprint": fingerprint,
    "verify": verify,
    "trust": trust,
    "devices": devices,
    "device": device,
    "keys": keys,
}


async def carry_out(encryption: Encryption, request: Request, room: str) -> list[str]:
    """Carry out a command about keys; return lines to tell.

    Raises CanNotDo, ConnectionLost, TransferFailed; OSError for a file.
    """
    return await COMMANDS[request.op](encryption, request.fields, room)
