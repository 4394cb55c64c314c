"""The NDJSON wire against a real server: what a program can rely on."""

import json

from tests.server_process import ServerProcess


# A program may be in many rooms, and not in more.
def test_rooms_a_session(server: ServerProcess, new_name) -> None:
    name = new_name("bot")
    bot = server.program()
    bot.type(json.dumps({"op": "register", "name": name, "password": "secret"}))
    bot.expect_line('.*"ok":true.*')
    for number in range(100):
        bot.type(json.dumps({"op": "join", "room": f"{name}-{number}"}))
        bot.expect_line('.*"ok":true.*')
    bot.type(json.dumps({"op": "join", "room": f"{name}-100"}))
    bot.expect_line('.*"error":"too_many_rooms".*')
