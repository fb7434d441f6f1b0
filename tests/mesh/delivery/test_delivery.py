"""Both halves of a delivery together: they count alike, and whatever happens nothing is lost."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries import WINDOW, Direction, Frame, frame_of, random_message
from handshake.identity import Identity
from mesh.delivery.delivery import Delivery
from mesh.limits import FRAME_BUDGET_BYTES
from mesh.wire.messages import TELL

SEEDS = st.integers(0, 2**32)


def test_a_delivery_is_both_halves_and_whose_they_are():
    """It names the peer's instance and epoch, and takes no other attribute."""
    direction = Direction()
    peer = Identity(b"p" * 32).id
    delivery = Delivery(peer, b"i" * 16, 3, direction.outgoing, direction.incoming)
    assert (delivery.peer_id, delivery.peer_instance, delivery.epoch) == (peer, b"i" * 16, 3)
    assert delivery.outgoing is direction.outgoing
    assert delivery.incoming is direction.incoming
    with pytest.raises(AttributeError):
        delivery.epooch = 4


@given(SEEDS, st.sampled_from([WINDOW, 3 * WINDOW, 1 << 20]))
def test_both_sides_count_the_same_cost(seed, window):
    """For any mix of messages the receiver's cost of each batch is the sender's, to the byte."""
    random = Random(seed)
    direction = Direction(window=window)
    outgoing, incoming = direction.outgoing, direction.incoming
    limit = outgoing.max_message_bytes
    for _ in range(12):
        for _ in range(random.randrange(1, 30)):
            random_message(random, direction, min(limit, 20_000) // 2)
            assert outgoing.credit_left >= 0
        outgoing.close_batch()
        for batch in outgoing.take_unsent():
            outgoing.sent(batch, 0.0)
            before = incoming.credit
            direction.arrive(frame_of(batch))
            direction.finish()
            assert incoming.credit - before == batch.cost
        direction.tell_back()
    direction.check_settled()


@given(SEEDS)
def test_the_budget_is_never_less_than_the_cost(seed):
    """What was reserved while a batch was open covers what it costs when it is closed."""
    random = Random(seed)
    direction = Direction(window=2 * WINDOW)
    outgoing = direction.outgoing
    for _ in range(40):
        random_message(random, direction, 3_000)
        reserved, left = outgoing._open_cost(), outgoing.credit_left
        if random.random() < 0.2:
            outgoing.close_batch()
            assert left - outgoing.credit_left <= reserved <= left
            direction.carry()


class Weather:
    """A link that loses, repeats and reorders, from one random source."""

    def __init__(self, random: Random, direction: Direction) -> None:
        self.random = random
        self.direction = direction
        self.under_way: list[Frame] = []

    def step(self) -> None:
        """Something happens: frames leave, arrive, are lost; handlers finish; numbers return."""
        random, direction = self.random, self.direction
        choice = random.randrange(7)
        if choice <= 1:
            self.under_way += direction.flush()
        elif choice == 2 and self.under_way:
            frame = self.under_way.pop(random.randrange(len(self.under_way)))
            direction.arrive(frame)
            if random.random() < 0.3:
                self.under_way.append(frame)
        elif choice == 3 and self.under_way and random.random() < 0.3:
            self.under_way.pop(random.randrange(len(self.under_way)))
        elif choice == 4:
            if random.random() < 0.5:
                direction.finish()
            elif direction.unfinished:
                direction.finish([random.choice(direction.unfinished)])
        elif choice == 5:
            direction.tell_back()
        else:
            self.ask_for_what_is_missing()

    def ask_for_what_is_missing(self) -> None:
        """The receiver names its gap, or the sender's patience is over."""
        gap = self.direction.incoming.gap
        if gap is not None:
            self.direction.outgoing.send_again(*gap)
        elif self.random.random() < 0.2:
            self.direction.outgoing.send_all_again()

    def clear_up(self) -> None:
        """From here on nothing is lost any more."""
        direction = self.direction
        for _ in range(200):
            direction.carry()
            if direction.outgoing.idle and not direction.unfinished:
                return
            direction.outgoing.send_all_again()
        raise AssertionError("it never comes to rest")


@given(SEEDS)
def test_nothing_is_lost_repeated_or_reordered_in_bad_weather(seed):
    """Frames are lost, repeated and reordered: each message is handled once, in its order."""
    random = Random(seed)
    direction = Direction(window=random.choice([WINDOW, 4 * WINDOW]))
    weather = Weather(random, direction)
    for _ in range(random.randrange(20, 200)):
        if random.random() < 0.5:
            random_message(random, direction, 6_000)
        weather.step()
        assert direction.outgoing.credit_left >= 0
    weather.clear_up()
    direction.check_settled()
    assert len(direction.delivered) == len(set(direction.delivered))
    assert set(direction.delivered) == set(direction.receipts)
    assert set(direction.handled) <= set(direction.delivered)


@given(SEEDS)
def test_no_sequence_of_offers_waits_for_ever(seed):
    """Whatever was refused for want of room fits once all that was queued has been handled."""
    random = Random(seed)
    direction = Direction()
    largest = direction.outgoing.max_message_bytes
    for _ in range(30):
        size = random.choice([0, 100, largest // 2, largest - 1, largest])
        body = random.randbytes(size)
        send = random.choice(
            [
                lambda body: direction.tell("x" * 255, body),
                lambda body: direction.bulk(TELL, "x" * 255, body),
                lambda body: direction.offer(TELL, "\xff" * 127, body[: largest - 3]),
            ]
        )
        if not send(body):
            assert direction.outgoing.starved
            direction.carry()
            assert not direction.outgoing.starved
            assert send(body)
    direction.carry()
    direction.check_settled()


def test_the_largest_message_fits_the_smallest_window():
    """Exactly as large as allowed, by every way, against a window of one frame's budget."""
    direction = Direction(window=FRAME_BUDGET_BYTES, max_message=1 << 30)
    largest = direction.outgoing.max_message_bytes
    assert FRAME_BUDGET_BYTES - 5000 < largest < FRAME_BUDGET_BYTES
    for _ in range(3):
        assert direction.tell("x" * 255, bytes(largest))
        direction.carry()
        assert direction.bulk(TELL, "\xff" * 127, bytes(largest))
        direction.carry()
        assert direction.offer(TELL, "log", bytes(largest - 3))
        direction.carry()
    direction.check_settled()


@given(SEEDS)
def test_the_hot_path_and_offer_make_the_same_batches(seed):
    """Appending to the open run is worth the same as offering, message for message."""
    hot, slow = Direction(), Direction()
    batches = []
    for direction in (hot, slow):
        generator = Random(seed)
        for _ in range(400):
            subject = generator.choice(["a", "a", "a", "b"])
            body = generator.randbytes(generator.choice([0, 64, 300, 2000]))
            if direction is hot:
                room = direction.tell(subject, body)
            else:
                room = direction.outgoing.offer(TELL, subject, body, raw=True) is not None
            if not room:
                break
        direction.outgoing.close_batch()
        batches.append([(b.runs, b.cost, b.run_count) for b in direction.outgoing.take_unsent()])
    assert batches[0] == batches[1]
    assert batches[0]
