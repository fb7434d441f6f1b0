"""What the demonstration must have shown, judged from the evidence alone.

Each check is a function from `Evidence` to a verdict, so that a test may hand it evidence of a
fault. Evidence that was never reached fails its check.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mesh.cli.demo.alone import Alone
from mesh.cli.demo.scan import Findings

NOT_REACHED = "not reached"
LEAST_NODES = 5
LEAST_RENEWALS = 1
# None of these may happen between honest nodes on a link that only listens.
SUSPICIOUS = (
    "dropped.forged",
    "dropped.malformed",
    "dropped.replayed",
    "dropped.no_handler",
    "handlers.raised",
    "receipts.failed",
    "rekeys.refused",
)


class Check(NamedTuple):
    """One verdict, and what it rests on in a line for people."""

    name: str
    held: bool
    detail: str


class Verdict(NamedTuple):
    """A check without its name."""

    held: bool
    detail: str


class Proof(NamedTuple):
    """One link as both ends saw it. `expected`: the two ids; `seen`: whom each end saw proved."""

    dialler: str
    acceptor: str
    expected: tuple[str, str]
    seen: tuple[str, str]

    @property
    def good(self) -> bool:
        """Whether each end saw the other's id."""
        return self.seen == (self.expected[1], self.expected[0])


class Answer(NamedTuple):
    """One query: what the mesh said, and what the single process says."""

    question: str
    mesh: object
    alone: object


class Wire(NamedTuple):
    """What the relay recorded of one link, and what went over that link.

    `connections`: how many there were, one unless somebody cut it. `control`: what the same scan
    saw of the same text in the clear.
    """

    connections: int
    captured_bytes: int
    plaintext_bytes: int
    findings: Findings
    control: Findings


@dataclass(slots=True)
class Evidence:
    """What the conductor gathers. `pids`, `ids`, `counters`, `statuses`: by node's name.

    `work`: the reader's report; `links`: how many sessions each node had to establish;
    `left_behind`: what could not be removed; `trouble`: what went wrong on the way.
    """

    pids: dict[str, int] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    proofs: list[Proof] = field(default_factory=list)
    links: dict[str, int] = field(default_factory=dict)
    stranger: dict[str, str] = field(default_factory=dict)
    work: dict[str, Any] = field(default_factory=dict)
    alone: Alone | None = None
    table: dict[str, int] | None = None
    answers: list[Answer] = field(default_factory=list)
    counters: dict[str, dict[str, int]] = field(default_factory=dict)
    wire: Wire | None = None
    statuses: dict[str, int] = field(default_factory=dict)
    left_behind: str = ""
    trouble: str = "never started"


_NOT_REACHED = Verdict(False, NOT_REACHED)


def judge(evidence: Evidence) -> list[Check]:
    """Every check, in the order of the story."""
    return [Check(name, *check(evidence)) for name, check in CHECKS.items()]


def _processes(evidence: Evidence) -> Verdict:
    pids, ids = set(evidence.pids.values()), set(evidence.ids.values())
    alike = len(pids) == len(ids) == len(evidence.pids) >= LEAST_NODES
    return Verdict(alike, f"{len(pids)} nodes in processes of their own, {len(ids)} different keys")


def _proofs(evidence: Evidence) -> Verdict:
    if not evidence.proofs:
        return _NOT_REACHED
    for proof in evidence.proofs:
        if not proof.good:
            return Verdict(False, f"{proof.dialler} and {proof.acceptor} saw {proof.seen}")
    return Verdict(True, f"{len(evidence.proofs)} links, each end saw exactly the id it wanted")


def _stranger(evidence: Evidence) -> Verdict:
    if not evidence.stranger:
        return _NOT_REACHED
    refused = evidence.stranger["refused"] == "NotTrusted"
    return Verdict(refused, "refused: not trusted" if refused else evidence.stranger["text"])


def _same_input(evidence: Evidence) -> Verdict:
    if evidence.alone is None or not evidence.work:
        return _NOT_REACHED
    digests = {int(number): digest for number, digest in evidence.work["digests"].items()}
    if digests != evidence.alone.digests:
        return Verdict(False, "files changed while they were read; try again, or another folder")
    return Verdict(True, f"{len(digests)} files read alike by the reader and by the single process")


def _all_handled(evidence: Evidence) -> Verdict:
    if not evidence.work:
        return _NOT_REACHED
    work = evidence.work
    last = work["rounds"][-1]["tallies"]
    for worker, pieces in work["pieces"].items():
        tally, size = last[worker], work["bytes"][worker]
        if (tally["pieces"], tally["bytes"], tally["unfinished"]) != (pieces, size, 0):
            return Verdict(False, f"{worker} was sent {pieces} pieces, {size} bytes; has {tally}")
    total = sum(work["pieces"].values())
    return Verdict(True, f"{total:,} pieces, each handled once and in order")


def _rounds_alike(evidence: Evidence) -> Verdict:
    if not evidence.work or evidence.alone is None:
        return _NOT_REACHED
    files = len(evidence.alone.by_file)
    for number, closed in enumerate(evidence.work["rounds"], 1):
        if not closed["same"] or closed["files"] != files:
            return Verdict(False, f"round {number} came out differently: {closed['files']} files")
    return Verdict(True, f"{len(evidence.work['rounds'])} rounds, the same result in each")


def _counts(evidence: Evidence) -> Verdict:
    if evidence.table is None or evidence.alone is None:
        return _NOT_REACHED
    alone = evidence.alone.total
    if evidence.table != alone:
        words = evidence.table.keys() | alone.keys()
        wrong = sorted(word for word in words if evidence.table.get(word) != alone.get(word))
        return Verdict(False, f"{len(wrong):,} words differ, {wrong[0]!r:.60} the first")
    return Verdict(True, f"{alone.total():,} words, {len(alone):,} different: all as counted alone")


def _queries(evidence: Evidence) -> Verdict:
    if not evidence.answers:
        return _NOT_REACHED
    for answer in evidence.answers:
        if answer.mesh != answer.alone:
            got = f"{answer.mesh!r:.80}, alone {answer.alone!r:.80}"
            return Verdict(False, f"{answer.question}: {got}")
    return Verdict(True, f"{len(evidence.answers)} queries, each answered as counted alone")


def _rekeyed(evidence: Evidence) -> Verdict:
    if not evidence.work:
        return _NOT_REACHED
    renewed = evidence.work["renewed"]
    link = min(renewed, key=renewed.__getitem__)
    detail = f"{len(renewed)} working links, each renewed at least {renewed[link]} times ({link})"
    return Verdict(renewed[link] >= LEAST_RENEWALS, detail)


def _no_handshake_again(evidence: Evidence) -> Verdict:
    if not evidence.counters or not evidence.links:
        return _NOT_REACHED
    for name, links in evidence.links.items():
        established = evidence.counters.get(name, {}).get("sessions.established", 0)
        if established != links:
            return Verdict(False, f"{name} has {links} links, established {established} sessions")
    renewed = sum(counters.get("sessions.renewed", 0) for counters in evidence.counters.values())
    return Verdict(True, f"one handshake a link; {renewed} renewals counted at both ends")


def _nothing_suspicious(evidence: Evidence) -> Verdict:
    if not evidence.counters:
        return _NOT_REACHED
    for name, counters in evidence.counters.items():
        for counter in SUSPICIOUS:
            if counters.get(counter):
                return Verdict(False, f"{name} counted {counters[counter]} {counter}")
    return Verdict(True, "nothing forged, malformed, repeated, failed or unhandled")


def _captured(evidence: Evidence) -> Verdict:
    if evidence.wire is None:
        return _NOT_REACHED
    wire = evidence.wire
    enough = wire.captured_bytes >= wire.plaintext_bytes > 0
    detail = f"{wire.captured_bytes:,} bytes for {wire.plaintext_bytes:,} bytes of text"
    return Verdict(enough and wire.connections == 1, f"{detail}, connections: {wire.connections}")


def _no_plaintext(evidence: Evidence) -> Verdict:
    if evidence.wire is None or evidence.wire.findings.scanned_bytes == 0:
        return _NOT_REACHED
    return Verdict(evidence.wire.findings.nothing, str(evidence.wire.findings))


def _control(evidence: Evidence) -> Verdict:
    if evidence.wire is None:
        return _NOT_REACHED
    control = evidence.wire.control
    return Verdict(control.markers > 0 and control.pieces > 0, str(control))


def _ended(evidence: Evidence) -> Verdict:
    if evidence.left_behind:
        return Verdict(False, f"{evidence.left_behind} could not be removed")
    bad = [f"{name}: {status}" for name, status in evidence.statuses.items() if status]
    if bad or evidence.statuses.keys() != evidence.pids.keys():
        return Verdict(False, f"exit statuses: {', '.join(bad) or 'some are not known'}")
    return Verdict(bool(evidence.statuses), "every process ended by itself, every home is removed")


def _no_trouble(evidence: Evidence) -> Verdict:
    return Verdict(not evidence.trouble, evidence.trouble or "nothing went wrong on the way")


CHECKS: dict[str, Callable[[Evidence], Verdict]] = {
    "separate processes": _processes,
    "mutual proof": _proofs,
    "stranger refused": _stranger,
    "same input": _same_input,
    "exactly once": _all_handled,
    "rounds alike": _rounds_alike,
    "counts": _counts,
    "queries": _queries,
    "rekeyed at work": _rekeyed,
    "no handshake again": _no_handshake_again,
    "nothing suspicious": _nothing_suspicious,
    "relay recorded": _captured,
    "no plaintext": _no_plaintext,
    "scan works": _control,
    "all ended": _ended,
    "no trouble": _no_trouble,
}
