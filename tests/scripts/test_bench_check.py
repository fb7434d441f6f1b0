"""What a message costs is counted, and a growing cost is noticed."""

import dataclasses

import pytest

from benchmarks import check
from benchmarks.__main__ import main
from benchmarks.cost import PIECES, Cost, measure_costs

BEFORE = {"send": Cost(10.0, 20.0, 5.0, 10_000.0), "call": Cost(100.0, 50.0, 5.0, 100.0)}


def test_the_same_cost_has_not_grown():
    """Nor has a smaller one, or what timers and batches make of the same."""
    cheaper = {name: Cost(*(value * 0.5 for value in cost)) for name, cost in BEFORE.items()}
    nearly = {name: Cost(*(value * 1.09 for value in cost)) for name, cost in BEFORE.items()}
    for costs in (BEFORE, cheaper, nearly):
        assert check.grown(costs, BEFORE) == []


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("calls", "send: 12.00 calls a message, 10.00 before"),
        ("c_calls", "send: 24.00 c calls a message, 20.00 before"),
        ("blocks", "send: 10.00 blocks a message, 5.00 before"),
        ("peak_bytes", "send: 20000.00 peak bytes a message, 10000.00 before"),
    ],
)
def test_each_count_that_has_grown_is_named(field, line):
    """With what it was before, so that it can be judged."""
    times = 2.0 if field in {"blocks", "peak_bytes"} else 1.2
    dearer = BEFORE["send"]._replace(**{field: getattr(BEFORE["send"], field) * times})
    assert check.grown({**BEFORE, "send": dearer}, BEFORE) == [line]


def test_what_is_measured_or_stored_alone_is_named():
    """A piece of work that is new, renamed or gone is no silence."""
    alone = {"send": BEFORE["send"], "post": BEFORE["call"]}
    assert check.grown(alone, BEFORE) == ["call: only stored", "post: only measured"]


def test_costs_are_stored_and_read_again(tmp_path, monkeypatch):
    """To the third place."""
    monkeypatch.setattr(check, "STORED", tmp_path / "costs.json")
    check.write({"send": Cost(1.23456, 2.0, 0.5, 1000.0)})
    assert check.stored() == {"send": Cost(1.235, 2.0, 0.5, 1000.0)}


def test_the_table_sets_both_side_by_side():
    """Measured, and what was stored."""
    rows = check.table(BEFORE, {"send": Cost(9.0, 20.0, 5.0, 10_000.0)}).splitlines()
    assert "10.00 (9.00)" in rows[2]
    assert "(" not in rows[3]


def test_calls_more_for_each_message_are_counted(monkeypatch):
    """The counter sees what code of ours calls: so many that no timer's share hides them."""
    more = 3_000
    (piece,) = [piece for piece in PIECES if piece.name == "call one at a time"]
    piece = dataclasses.replace(piece, count=40)
    costs = measure_costs((piece,), laps=1)[piece.name]
    from mesh.runtime import mailbox

    genuine = mailbox.Mailbox.call

    def again(self, subject, body, timeout):
        for _ in range(more):
            self._check_size(0)
        return genuine(self, subject, body, timeout)

    monkeypatch.setattr(mailbox.Mailbox, "call", again)
    dearer = measure_costs((piece,), laps=1)[piece.name]
    assert 0.9 * more < dearer.calls - costs.calls < 1.1 * more


@pytest.mark.slow
def test_no_message_costs_more_than_it_did():
    """Counted as `scripts/bench --check` does; what has grown stands in the failure."""
    costs = measure_costs()
    assert check.stored().keys() == {piece.name for piece in PIECES}
    assert check.grown(costs, check.stored()) == []


@pytest.mark.parametrize(("times", "status"), [(0.5, 0), (3.0, 1)])
def test_the_command_says_what_has_grown(monkeypatch, capsys, times, status):
    """Its status tells a run of tests, and its lines tell people."""
    dearer = {name: Cost(*(value * times for value in cost)) for name, cost in BEFORE.items()}
    monkeypatch.setattr("benchmarks.cost.measure_costs", lambda: dearer)
    monkeypatch.setattr(check, "stored", lambda: BEFORE)
    assert main(["--check"]) == status
    assert capsys.readouterr().out.count("GROWN") == 7 * status


def test_the_command_stores_what_it_has_counted(monkeypatch, tmp_path):
    """Only where it is asked to."""
    monkeypatch.setattr(check, "STORED", tmp_path / "costs.json")
    monkeypatch.setattr("benchmarks.cost.measure_costs", lambda: BEFORE)
    check.write({})
    assert main(["--check", "--write"]) == 0
    assert check.stored() == BEFORE
    with pytest.raises(SystemExit):
        main(["--write"])
