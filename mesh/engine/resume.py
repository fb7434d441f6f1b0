"""Which delivery a new session belongs to: what both say of it (`resume`) and what they agree on.

The id of a delivery is (both instances, epoch). Epoch 0 is the first meeting, so that handshakes
which cross agree without talking; whoever has forgotten the other says a larger one.
"""

from typing import NamedTuple

from mesh.delivery.delivery import Delivery


class Resume(NamedTuple):
    """What a side says about the delivery it would continue. `next`: batch it expects."""

    epoch: int
    next: int


class Memory:
    """Epochs to begin with for the instances of one peer whose delivery was forgotten; bounded.

    Each peer has one of its own, so that nobody can speak for the instances of others.
    """

    _LIMIT = 64

    def __init__(self) -> None:
        self._epochs: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._epochs)

    def epoch_for(self, instance: bytes) -> int:
        """The epoch of a new delivery with this instance."""
        return self._epochs.get(instance, 0)

    def forget(self, delivery: Delivery) -> None:
        """The delivery is given up: the next one with that instance has a larger epoch."""
        before = self._epochs.pop(delivery.peer_instance, 0)
        self._epochs[delivery.peer_instance] = max(before, delivery.epoch + 1)
        if len(self._epochs) > self._LIMIT:
            self._epochs.pop(next(iter(self._epochs)))


def agree(ours: Resume, theirs: Resume) -> Resume:
    """The epoch both take, and the batch that the peer expects next in it."""
    epoch = max(ours.epoch, theirs.epoch)
    return Resume(epoch, theirs.next if theirs.epoch == epoch else 1)
