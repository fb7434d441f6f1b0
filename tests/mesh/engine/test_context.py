"""What rooms share: random ids, and credentials that are made anew every day."""

from handshake.primitives import x25519_public
from mesh.limits import DELEGATION_SECONDS, STATIC_KEY_SECONDS
from mesh.model import Now


def test_a_random_id_is_never_zero(context):
    """Zero means "none" on the wire."""
    assert context.random_id() == 0x0102030405060708
    context.random_bytes = bytes
    assert context.random_id() == 1


def test_credentials_last_a_day_and_their_delegation_longer(context):
    """The same key for a day, then another one; sessions of the first may still end in peace."""
    keys = [bytes([n]) * 32 for n in (1, 2, 3)]
    context.random_bytes = lambda _length: keys.pop(0)
    first = context.credentials()
    context.now = Now(0.0, 1_000_000.0 + STATIC_KEY_SECONDS - 1)
    assert context.credentials() is first
    context.now = Now(0.0, 1_000_000.0 + STATIC_KEY_SECONDS)
    second = context.credentials()
    assert second.static_private != first.static_private
    assert second.delegation.static_key == x25519_public(second.static_private)
    first.delegation.verify(
        context.identity.id, context.settings.mesh_id, 1_000_000.0 + DELEGATION_SECONDS
    )


def test_a_clock_that_was_put_back_makes_new_credentials(context):
    """What was delegated in the future would be refused by everybody."""
    keys = [bytes([n]) * 32 for n in (1, 2)]
    context.random_bytes = lambda _length: keys.pop(0)
    context.credentials()
    context.now = Now(200.0, 900_000.0)
    context.credentials().delegation.verify(context.identity.id, context.settings.mesh_id, 900_000)


def test_a_clock_that_is_put_back_a_second_a_day_keeps_no_key_longer(context):
    """A day is over when the clock that never jumps says so."""
    keys = [bytes([n]) * 32 for n in (1, 2)]
    context.random_bytes = lambda _length: keys.pop(0)
    first = context.credentials()
    context.now = Now(100.0 + STATIC_KEY_SECONDS, 1_000_000.0 + STATIC_KEY_SECONDS - 1)
    assert context.credentials().static_private != first.static_private


def test_a_clock_that_stands_at_its_beginning_is_no_crash(context):
    """A machine without a battery wakes up in 1970; it finds no peers, but it runs."""
    context.now = Now(1.0, 5.0)
    assert context.credentials().delegation.not_before == 0
