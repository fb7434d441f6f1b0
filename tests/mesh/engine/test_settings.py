"""The settings of an engine: the mesh's name and secret become an id and a psk."""

import pytest

from mesh.engine.settings import Settings

SECRET = b"s" * 32


def test_name_and_secret_make_the_mesh():
    """Another name is another mesh id; another secret another psk under the same id."""
    one, other = Settings(b"i" * 16, mesh="one"), Settings(b"i" * 16, mesh="other")
    secret = Settings(b"i" * 16, mesh="one", mesh_secret=SECRET)
    assert one.mesh_id == secret.mesh_id != other.mesh_id
    assert len({one.psk, other.psk, secret.psk}) == 3


def test_the_secret_does_not_print():
    """Settings may appear in a log."""
    assert "sss" not in repr(Settings(b"i" * 16, mesh_secret=SECRET))


@pytest.mark.parametrize("length", [0, 15, 17])
def test_an_instance_has_its_length(length):
    """It has a fixed place in a handshake, where it would be cut or filled up in silence."""
    with pytest.raises(ValueError, match="16 bytes"):
        Settings(bytes(length))
