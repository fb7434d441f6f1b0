"""What programs say, at random times."""

from mesh.testing.simulation import Simulation
from mesh.wire.messages import CANCEL, NESTED_REQUESTS, REPLY, REQUEST, TELL


def test_programs_say_all_sorts_of_things(plan):
    """Messages of every size, calls, and cancelled ones; more than there is room for."""
    world = Simulation(1, plan=plan(chaos=60.0, pause=0.1))
    world.run()
    subjects = {message.subject for message in world.ledger.messages.values()}
    assert {"log", "tick", "slow", "ask", "ask slowly", "ask back", ""} <= subjects
    kinds = {message.kind for message in world.ledger.messages.values()}
    assert kinds >= {TELL, REQUEST, REPLY, CANCEL, *NESTED_REQUESTS}


def test_nobody_speaks_while_there_is_silence_or_nobody(stage):
    """Neither in a pause, nor before somebody is born, nor after the end."""
    world = stage(pause=0.01).world
    world.traffic.on = True
    world.traffic.begin()
    world.pass_time(1.0)
    world.traffic.pause(5.0)
    world.give_birth("ann")
    world.give_birth("bob")
    world.pass_time(4.0)
    assert world.ledger.messages == {}
    world.pass_time(2.0)
    said = len(world.ledger.messages)
    assert said
    world.traffic.on = False
    world.pass_time(10.0)
    requests = [m for m in world.ledger.messages.values() if m.number > said and m.kind == 1]
    assert requests == []


def test_who_waits_for_room_piles_up_no_more(met):
    """A long line is long enough."""
    office = met.office("ann", "bob")
    while len(office.lines) < 30:
        office.tell("slow", 6000)
    waiting = len(office.lines)
    for _ in range(50):
        met.world.traffic._act(met.process("ann"))
    assert len(office.lines) == waiting
