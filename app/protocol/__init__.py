"""Commands, events, and the items of lists: a file a subject. Plain data, no live objects.

A command is named in the imperative, an event in the past tense. `RoomEvent`s are facts that all
readers of a room are shown, in one order. The others are told to one session: an `Answer` to its
command, any other because it concerns the session.

`COMMANDS` is complete. The text wire's parser, its usage errors and `/help` are made from it, and
so are the requests of programs and their schema. They take the word, the docstring's first line,
and each field's annotation, which says what may stand there (app/protocol/command.py). A field with
a default may be left out; one without a shape is for programs alone, and is never typed.
"""

from collections.abc import Mapping, Sequence

from app.protocol import accounts, devices, files, moderation, removal, rooms, server, talk
from app.protocol.command import Command
from app.protocol.event import Event

COMMANDS: Mapping[str, type[Command]] = {
    kind.word: kind
    for kind in (
        accounts.Register,
        accounts.Login,
        rooms.Join,
        rooms.Leave,
        talk.Say,
        talk.Emote,
        talk.Tell,
        rooms.Who,
        rooms.Rooms,
        talk.History,
        moderation.Topic,
        talk.Away,
        talk.Ignore,
        talk.Unignore,
        moderation.Kick,
        moderation.Ban,
        moderation.Unban,
        moderation.Bans,
        moderation.Mute,
        moderation.Unmute,
        moderation.Promote,
        moderation.Demote,
        rooms.Encrypt,
        rooms.Roster,
        files.Send,
        files.Get,
        files.Files,
        files.Upload,
        files.Download,
        files.Unshare,
        accounts.Passwd,
        accounts.Unregister,
        accounts.Tokens,
        accounts.Sessions,
        server.Ping,
        server.Help,
        server.Quit,
        devices.DevicePut,
        devices.ManifestPut,
        devices.KeysPut,
        devices.KeysQuery,
        devices.KeysClaim,
        devices.KeysChanges,
        devices.DeviceSend,
        devices.DeviceFetch,
        devices.DeviceAck,
        server.Announce,
        accounts.UserDisable,
        accounts.UserEnable,
        server.Status,
        moderation.ServerKick,
        moderation.ServerBan,
        moderation.ServerUnban,
        moderation.ServerMute,
        moderation.ServerUnmute,
        moderation.ServerBans,
        accounts.UserList,
        accounts.UserCreate,
        accounts.UserPassword,
        accounts.UserAdmin,
        accounts.UserDelete,
        rooms.RoomList,
        rooms.RoomCreate,
        rooms.RoomDelete,
        rooms.RoomRename,
        rooms.RoomOwner,
        server.Shutdown,
        removal.Purge,
        removal.Retention,
        server.Backup,
        removal.Vacuum,
    )
}

_SUBJECTS = (accounts, devices, files, moderation, removal, rooms, server, talk)

EVENTS: Sequence[type[Event]] = [
    kind
    for subject in _SUBJECTS
    for kind in vars(subject).values()
    if isinstance(kind, type) and kind.__module__ == subject.__name__ and issubclass(kind, Event)
]
