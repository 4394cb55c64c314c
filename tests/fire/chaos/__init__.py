"""Chaos: hundreds of clients talk while everything goes wrong, and an oracle says what was lost.

make fire ARGS="chaos --minutes 20 --seed 7"

kind.py           its options, and what it leaves
run.py            one run: cycles of talk, a disturbance, recovery, and a look at what is left
plan.py           which disturbance comes when: the seed says so
disturbances.py   what is done to the server: signals, its disk, its database, its clock
strangers.py      what clients do to it: stalls, resets, uploads left behind
older.py          a migration that is killed half way
server.py         the server, in a folder and a small file system of its own
members.py        those who talk all the time, at every wire
sharers.py        those who also share files, and fetch them
confidants.py     those who talk in an encrypted room, by devices of app/encryption
population.py     all of them together
oracle.py         what was seen and acknowledged, against what the database holds
circle.py         what was said in the encrypted room, as the devices have it
rooms.py          one room's messages in order, and those who followed them
rollcall.py       whether all who are there get what is said, up to the newest
log.py            what must not be in the log
trends.py         whether something grows that should not
life.py           a test of it, for `make fire ARGS=mutants`: too long for `make test`
report.py         what a person reads
"""
