"""A siege: masses do what a few do in the other tests, and the numbers are held against bounds.

kind.py          its options; scenes one after the other
siege.py         a scene from its server's start to its end, and the eyes that are on the hub
server.py        manage.py runserver, with real password hashes and an eye on its hub
defenders.py     honest people, who must not notice: newcomers, and two who talk
attackers.py     the masses; they run in a process of their own, lest they delay who measures
talkers.py       a mass that talks
scenes.py        the list of scenes; each is a function in one of the files below
silence.py       connections that say nothing, or come and go
stalls.py        handshakes of TLS that do not go on
resets.py        a room that loses everybody in one moment
logins.py        floods of password hashes; guessing who exists
descriptors.py   no descriptors
protocols.py     what is not spoken here
locks.py         a database that another process holds
patterns.py      what means something to searches and databases elsewhere
worst.py         ten who are nobody, and send what takes longest; a log that nobody reads
crowds.py        users who do what each may, all at once; a database that is full of rows
life.py          the scenes as tests, for `make fire ARGS=mutants`: too long for `make test`
"""
