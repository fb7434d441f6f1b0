"""Both halves of a delivery together: they count alike, and whatever happens nothing is lost."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries import WINDOW, Direction, Frame, frame_of, open_cost, random_message
from handshake.identity import Identity
from mesh.constants import DEPTH_MAX, WINDOW_MIN_BYTES
from mesh.delivery.delivery import Delivery
from mesh.wire.messages import DEPTHS, REPLY, TELL, request_kind

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
    for _ in range(12):
        for _ in range(random.randrange(1, 30)):
            random_message(random, direction, 10_000)
            assert all(outgoing.credit.left(depth) >= 0 for depth in range(DEPTH_MAX + 1))
        outgoing.close_batch()
        outgoing.put_chunks()
        for batch in outgoing.take_unsent():
            outgoing.sent(batch, 0.0)
            before, nested = incoming.credit, [used for _, used in incoming._nested]
            direction.arrive(frame_of(batch))
            taken = [used - was for (_, used), was in zip(incoming._nested, nested, strict=True)]
            direction.finish()
            returned = incoming.credit - before
            assert returned + sum(taken) == batch.cost
            assert not (returned and any(taken))
            assert [used for _, used in incoming._nested] == nested
        direction.tell_back()
    direction.settle()
    direction.check_settled()


@given(SEEDS)
def test_the_budget_is_never_less_than_the_cost(seed):
    """What was reserved while a batch was open covers what it costs when it is closed."""
    random = Random(seed)
    direction = Direction(window=2 * WINDOW)
    outgoing = direction.outgoing
    for _ in range(40):
        random_message(random, direction, 3_000)
        reserved, left = open_cost(outgoing), outgoing.credit.left(0)
        if random.random() < 0.2:
            outgoing.close_batch()
            assert left - outgoing.credit.left(0) <= reserved <= left
            direction.carry()


@given(SEEDS)
def test_a_nested_budget_is_never_less_than_the_cost(seed):
    """The same within the fixed room of each depth."""
    random = Random(seed)
    direction = Direction(window=2 * WINDOW)
    credit = direction.outgoing.credit
    for _ in range(40):
        depth = random.randrange(1, DEPTH_MAX + 1)
        kind = random.choice([request_kind(depth), request_kind(depth), REPLY])
        direction.offer(kind, random.choice("ab"), random.randbytes(random.randrange(6000)))
        reserved, left = open_cost(direction.outgoing, depth), credit.left(depth)
        if random.random() < 0.3:
            direction.outgoing.close_batch()
            assert left - credit.left(depth) <= reserved <= left
        if random.random() < 0.1:
            direction.carry()
    direction.carry()
    direction.check_settled()


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
                # What was told of it may be under way.
                direction.tell_back()
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
        assert direction.outgoing.credit.left(0) >= 0
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
    for _ in range(30):
        kind = random.choice([*DEPTHS, REPLY])
        largest = direction.outgoing.whole_bytes(kind)
        size = random.choice([1, 100, largest // 2, largest - 50, largest])
        body = random.randbytes(size)
        send = random.choice([direction.bulk, direction.offer, direction.large])
        subject = random.choice(["x" * 255, "\xff" * 127])
        if not send(kind, subject, body):
            direction.settle()
            assert not direction.outgoing.starved
            assert send(kind, subject, body)
    direction.settle()
    direction.check_settled()


def test_the_largest_message_fits_the_smallest_window():
    """Whole or in chunks, exactly as large as allowed, against the smallest window there may be."""
    largest = 4 * WINDOW_MIN_BYTES
    direction = Direction(window=WINDOW_MIN_BYTES, max_message=largest)
    whole = direction.outgoing.whole_bytes(TELL)
    for _ in range(3):
        assert direction.tell("x" * 255, bytes(whole))
        assert direction.bulk(TELL, "\xff" * 127, bytes(whole))
        assert direction.offer(TELL, "log", bytes(whole - 3))
        assert direction.large(TELL, "log", bytes(largest))
        assert direction.large(REPLY, "", bytes(largest))
        direction.settle()
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
