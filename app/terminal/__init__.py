"""The terminal client, `manage.py chat`: rooms on a screen, on top of the client for programs.

    typed.py -> Request -> Client -> answers, events -> phrases.py -> model.py -> screen.py

application.py   brings all together: the one loop that touches the model, the threads beside it
model.py         rooms, who is in them, what was said and is not read; pure
phrases.py       JSON to sentences, made harmless: the text wire's own; pure
typed.py         what was typed, as a request: the text wire's table of commands; pure
outgoing.py      what was typed and waits for its turn, through the end of the program
screen/          what stands where, colours, keys; rows that are drawn whole
files/           /send and /get
encrypted/       keys on this disk, the thread that uses them, and what a person sees of it
memory.py  login.py                             what is kept between runs; who it is
"""
