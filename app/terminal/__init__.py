"""The terminal client, `manage.py chat`: rooms on a screen, on top of the client for programs.

    typed.py -> Request -> Client -> answers, events -> phrases.py -> model.py -> screen.py

application.py   brings all together: the one loop that touches the model, the threads beside it
model.py         rooms, who is in them, what was said and is not read; pure
phrases.py       JSON to sentences, made harmless: the text wire's own; pure
typed.py         what was typed, as a request: the text wire's table of commands; pure
outgoing.py      what was typed and waits for its turn, through the end of the program
appearance.py    colours, times, lines broken into rows; pure
pane.py  status.py  completion.py  screen.py    what stands where, and the keys
drawing.py       rows that are drawn whole, since terminals disagree on their cells
files.py  transfers.py  filenames.py            /send and /get
memory.py  login.py                             what is kept between runs; who it is
keys.py  encrypting.py                          keys on this disk; the thread that uses them
trust.py  sealedfiles.py  secrecy.py            whose keys are whose; files; all that is encrypted
"""
