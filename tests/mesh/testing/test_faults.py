"""What goes wrong, and how it is put right."""

import pytest

from mesh.testing.plan import FAULTS
from mesh.testing.simulation import Simulation, simulate


def only(fault):
    return dict.fromkeys(FAULTS, 0.0) | {fault: 1.0}


@pytest.mark.parametrize(
    "fault",
    [
        # It takes ten minutes of virtual time.
        pytest.param(fault, marks=pytest.mark.slow) if fault == "silence" else fault
        for fault in FAULTS
    ],
)
def test_each_fault_alone_is_survived(fault, plan):
    """It happens, and every promise is kept."""
    for seed in range(3):
        world = Simulation(
            seed,
            plan=plan(
                names=("ann", "bob", "cid"),
                wishes=[("ann", "bob", True), ("bob", "ann", False), ("cid", "ann", False)],
                faults=only(fault),
                notices=(0.0, 5.0, None),
            ),
        )
        world.run()
        assert world.faults.happened == {fault}
        assert not world.faults.on


def test_a_stopped_world_has_fine_weather_and_nobody_frozen(stage):
    """Right clocks, too."""
    world = stage(loss=0.5, corrupts=0.5).meet().world
    ann = world.processes["ann"]
    ann.clock.wall_error = 50.0
    world.faults._freeze()
    world.wire.close("ann", "bob")
    world.faults.stop()
    assert ann.clock.wall_error == 0.0
    assert not any(process.frozen for process in world.living())
    assert world.wire.weather("ann", "bob").harmless
    assert world.wire.open("ann", "bob")


def test_who_is_not_there_is_spared(stage):
    """With nobody alive and no connection, faults find nobody to happen to."""
    world = stage().world
    for act in world.faults._acts.values():
        act()
    world.pass_time(15.0)
    assert world.everybody == []


def test_the_dead_frozen_and_closing_are_not_killed_again(met):
    """A second crash in the middle of the first handshakes finds only who runs."""
    faults, ann = met.world.faults, met.process("ann")
    faults._crash_again("ann")
    assert not ann.alive
    faults._crash_again("ann")
    faults._thaw(ann)
    assert met.process("ann") is ann


def test_who_is_doomed_dies_of_its_message_3_and_is_born_again(stage):
    """What it said arrives later; one that has died already dies no more."""
    stage = stage(latency=0.05)
    stage.world.faults._doomed.add("ann")
    for name in ("ann", "bob"):
        stage.world.give_birth(name)
    first = stage.process("ann")
    assert stage.run(2.0, until=lambda: not first.alive)
    assert stage.run(2.0, until=lambda: stage.process("ann") is not first)
    stage.world.kill(stage.process("ann"), "crashes", keeps=0)
    stage.world.faults._die_speaking("ann")
    assert stage.world.living() == [stage.process("bob")]


def test_a_world_whose_faults_pause_is_quiet(plan):
    """For as long as it was asked for."""
    world = Simulation(2, plan=plan(faults=only("cut"), fault_every=0.2))
    world.faults.pause(100.0)
    world.run()
    assert world.faults.happened == set()


def test_a_thief_forgets_what_is_too_much(met):
    """He keeps the frames of a short while."""
    met.world.plan.faults["copy"] = 1.0
    for number in range(500):
        met.world.faults.overhear("bob", "ann", b"%d" % (10 + number))
    assert len(met.world.faults.copied) == 200


def test_worlds_with_everything_at_once(plan):
    """All faults together, in quick succession."""
    for seed in range(4):
        faults = dict.fromkeys(FAULTS, 1.0) | {"silence": 0.0}
        assert simulate(seed, plan=plan(faults=faults, fault_every=0.2)).violation is None
