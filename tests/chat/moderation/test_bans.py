"""Bans and mutes, told by a clock that the test holds, and across a restart."""

import threading

import gevent
import pytest

from app.errors import Forbidden
from app.protocol import moderation, rooms, talk
from tests.kit.house import DAY, HOUR, MINUTE, House


# A ban for a time ends on time and not a millisecond before, also when the server was restarted.
@pytest.mark.parametrize("is_restarted", [False, True])
def test_timed_ban_ends_on_time(house: House, is_restarted: bool) -> None:
    owner, bob = house.register("owner", "lobby"), house.register("bob")
    house.do(owner, moderation.Ban("bob", 30 * 60, "spam"))
    if is_restarted:
        house.close()
        house.open()
        bob = house.log_in("bob")
    house.now += 30 * MINUTE - 1
    with pytest.raises(Forbidden, match=r"banned from lobby until 2026-11-22 14:32 UTC \(spam\)"):
        house.do(bob, rooms.Join("lobby"))
    house.now += 1
    assert isinstance(house.do(bob, rooms.Join("lobby")), rooms.Entered)


# A mute ends on time too, and until then costs its target nothing but their voice.
def test_timed_mute_ends_on_time(house: House) -> None:
    owner, bob = house.register("owner", "lobby"), house.register("bob", "lobby")
    house.do(owner, moderation.Mute("bob", 60))
    with pytest.raises(Forbidden, match="muted in lobby until"):
        house.do(bob, talk.Say("hello"))
    assert isinstance(house.do(bob, rooms.Who()), rooms.PeopleListed)
    house.now += MINUTE
    house.say(bob, "lobby", "hello again")


# A clock that jumps a day and back lets nobody in for good: the ban holds again.
def test_clock_that_jumps_back_finds_the_ban_again(house: House) -> None:
    owner, bob = house.register("owner", "lobby"), house.register("bob")
    house.do(owner, moderation.Ban("bob", 60 * 60))
    house.now += DAY
    house.do(bob, rooms.Join("lobby"), rooms.Leave())
    house.now -= DAY
    with pytest.raises(Forbidden):
        house.do(bob, rooms.Join("lobby"))


# A clock that is a day wrong for a while, either way: what is in force for an hour ends at the time
# that was told, by the clock as it is, no earlier or later for the jump. What is said meanwhile has
# its place after what was said before.
@pytest.mark.parametrize("jump", [DAY, -DAY], ids=["ahead", "back"])
def test_clock_that_jumps_and_comes_back(house: House, jump: int) -> None:
    owner, muted = house.register("owner", "lobby"), house.register("muted", "lobby")
    banned, said = house.register("banned"), []

    def check(*, is_over: bool) -> None:
        said.append(f"look {len(said)}")
        house.say(owner, "lobby", said[-1])
        for session, command in ((muted, talk.Say("me")), (banned, rooms.Join("lobby"))):
            if is_over:
                house.do(session, command)
            else:
                with pytest.raises(Forbidden, match="until 2026-11-22 15:02 UTC"):
                    house.do(session, command)
        if is_over:
            house.do(banned, rooms.Leave())

    house.do(owner, moderation.Mute("muted", 60 * 60), moderation.Ban("banned", 60 * 60))
    check(is_over=False)
    house.now += jump
    check(is_over=jump > 0)
    house.now -= jump
    check(is_over=False)
    house.now += HOUR
    check(is_over=True)
    entered = house.do(house.register("newcomer"), rooms.Join("lobby"))
    assert [each.body for each in entered.messages if each.body != "me"] == said


# A room stays live until what was said in it is released, though all have left and somebody who may
# not enter knocks meanwhile: whoever comes next is replayed all of it.
def test_room_outlives_its_last_words(house: House) -> None:
    owner, bob, carol = (house.register(name) for name in ("owner", "bob", "carol"))
    house.do(owner, rooms.Join("lobby"), moderation.Ban("bob"), rooms.Leave(), rooms.Join("lobby"))
    is_held, may_go_on = threading.Event(), threading.Event()
    holder = gevent.spawn(house.database.write, lambda _: (is_held.set(), may_go_on.wait()))
    while not is_held.is_set():  # then nothing is committed
        gevent.sleep(0.001)
    house.do(owner, talk.Say("last words"))
    house.leave(owner)
    assert house.refused(bob, rooms.Join("lobby")) == "banned"
    may_go_on.set()
    holder.get()
    entered = house.do(carol, rooms.Join("lobby"))
    assert [said.body for said in entered.messages] == ["last words"]
