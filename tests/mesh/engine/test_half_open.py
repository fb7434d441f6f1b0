"""Half-open exchanges: limits at the limit and one past it, repeats, ends."""

from math import inf
from types import SimpleNamespace

import pytest

from mesh.engine.agenda import Agenda
from mesh.engine.half_open import HalfOpens, Initiating, Responding, is_local
from mesh.limits import HALF_OPEN_LOCAL, HALF_OPEN_PER_ADDRESS, HALF_OPEN_TOTAL
from mesh.model import Route

ROUTE = Route(dialled=1)
BACK = Route(routing_id=b"r")


class Owner:
    """What a half-open tells."""

    def __init__(self):
        self.context = SimpleNamespace(agenda=Agenda(), transmits=[])
        self.half_opens = HalfOpens()
        self.timeouts = []

    def on_timeout(self, half_open):
        self.timeouts.append(half_open)


@pytest.fixture
def owner():
    return Owner()


@pytest.fixture
def stranger(owner):
    """A new stranger from an address; its half-open, or None when there is no room."""
    numbers = iter(range(1, 10_000))

    def begin(address):
        if not owner.half_opens.room_for(address):
            return None
        number = next(numbers)
        message = b"%d" % number
        half_open = Responding(owner, number, address, BACK, message, None, b"answer", 0.0)
        owner.half_opens.begin_responding(half_open)
        return half_open

    return begin


def test_one_address_has_a_few_places(stranger, owner):
    """Sixteen fit, the seventeenth does not; another address is not concerned."""
    first = [stranger("10.0.0.1") for _ in range(HALF_OPEN_PER_ADDRESS)]
    assert all(first)
    assert stranger("10.0.0.1") is None
    assert stranger("10.0.0.2")
    owner.half_opens.end_responding(first[0])
    assert stranger("10.0.0.1")


def test_programs_on_this_machine_share_a_generous_place(stranger):
    """Loopback of all kinds counts as one address, with more room than a distant one."""
    addresses = ["127.0.0.1", "127.9.9.9", "::1", "ipc", ""]
    assert all(stranger(addresses[n % 5]) for n in range(HALF_OPEN_LOCAL))
    assert stranger("127.0.0.1") is None
    assert stranger("ipc") is None
    assert stranger("10.0.0.1")


def test_all_addresses_together_have_a_limit(stranger, owner):
    """One past it there is no room for anybody."""
    for number in range(HALF_OPEN_TOTAL):
        assert stranger(f"10.1.{number // 200}.{number % 200}")
    assert stranger("10.2.0.1") is None
    owner.half_opens.end_responding(owner.half_opens.responding[1])
    assert stranger("10.2.0.1")


def test_who_proved_itself_takes_no_place_of_a_stranger(stranger, owner):
    """Its answer stays in the cache; ending it later frees nothing twice."""
    proved = [stranger("10.0.0.1") for _ in range(HALF_OPEN_PER_ADDRESS)]
    for half_open in proved:
        owner.half_opens.settle(half_open)
        owner.half_opens.settle(half_open)
    assert all(stranger("10.0.0.1") for _ in range(HALF_OPEN_PER_ADDRESS))
    for half_open in proved:
        owner.half_opens.end_responding(half_open)
    assert stranger("10.0.0.1") is None


def test_a_repeated_first_message_is_recognised_while_it_is_remembered(stranger, owner):
    """For five seconds, finished or not."""
    half_open = stranger("10.0.0.1")
    assert owner.half_opens.repeated(half_open.message_1) is half_open
    assert owner.half_opens.repeated(b"another") is None
    assert half_open.advance(4.9) == 5.0
    assert half_open.advance(5.0) == inf
    assert owner.half_opens.repeated(half_open.message_1) is None
    assert owner.half_opens.responding == {}


@pytest.fixture
def initiating(owner):
    half_open = Initiating(owner, 7, ROUTE, "bob", None, b"message 1", 0.0)
    owner.half_opens.initiating[7] = half_open
    return half_open


def test_our_message_is_repeated_until_we_give_up(initiating, owner):
    """After 250 ms, doubling; five seconds in all, and the owner is told."""
    agenda, times = owner.context.agenda, []
    agenda.at(initiating.advance(0.0), initiating)
    while agenda.next_at < inf:
        now = agenda.next_at
        sent = len(owner.context.transmits)
        agenda.advance(now)
        if len(owner.context.transmits) > sent:
            times.append(now)
    assert times == [0.25, 0.75, 1.75, 3.75]
    assert set(owner.context.transmits) == {(ROUTE, b"message 1")}
    assert owner.timeouts == [initiating]


def test_after_message_2_message_3_is_repeated(initiating, owner):
    """And nothing once it is over."""
    initiating.proceed(SimpleNamespace(peer_id="bob"), b"message 3", 1.0)
    assert initiating.advance(1.0) == 1.25
    initiating.advance(1.25)
    assert owner.context.transmits == [(ROUTE, b"message 3")]
    initiating.stop()
    assert initiating.advance(2.0) == inf
    assert initiating.advance(9.0) == inf
    assert owner.timeouts == []


def test_one_exchange_a_peer_and_a_route(initiating, owner):
    """Known by the pin, or by who has answered."""
    half_opens = owner.half_opens
    assert half_opens.begun_on(ROUTE)
    assert not half_opens.begun_on(Route(dialled=2))
    assert half_opens.begun_with("bob")
    assert not half_opens.begun_with("carol")
    initiating.pin = None
    assert not half_opens.begun_with("bob")
    initiating.proceed(SimpleNamespace(peer_id="carol"), b"message 3", 1.0)
    assert half_opens.begun_with("carol")


@pytest.mark.parametrize(
    ("address", "local"), [("127.0.0.1", True), ("ipc", True), ("192.168.1.2", False)]
)
def test_local_addresses_are_known(address, local):
    """Loopback and ipc."""
    assert is_local(address) is local
