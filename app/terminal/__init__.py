"""The terminal client, `manage.py chat`, on the client library.

    typed.py -> Request -> Client -> answers, events -> phrases.py -> model.py -> screen.py

application.py   joins all parts: the one loop that touches the model, the threads beside it
model.py         rooms, their people, their lines, unread counts; pure
phrases.py       JSON to sentences, made harmless: the text wire's own; pure
typed.py         typed lines to requests, by the text wire's table of commands; pure
outgoing.py      typed lines that wait for their turn, through the end of the program
screen/          layout, colours, keys; rows that are drawn whole
files/           /send and /get
encrypted/       keys on this disk, the thread that uses them, and the person's side of it
memory.py  login.py                             data kept between runs; logging in
"""
