"""Endpoints as text, and the files behind some of them."""

import errno
import os
import socket

import pytest

from mesh.errors import InvalidConfiguration, PeerUnreachable
from mesh.io import endpoints


@pytest.fixture
def stale(tmp_path):
    """A socket file whose listener is gone."""
    path = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as plain:
        plain.bind(str(path))
    return path


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("tcp://127.0.0.1:4000", "127.0.0.1"),
        ("tcp://host.example:4000", "host.example"),
        ("tcp://[::1]:4000", "::1"),
        ("tcp://[fe80::1%eth0]:65535", "fe80::1%eth0"),
        ("ipc:///run/a.sock", "ipc"),
        ("ipc://@name", "ipc"),
    ],
)
def test_an_endpoint_that_can_be_dialled_gives_its_address(endpoint, address):
    """The address is what limits and logs speak of."""
    assert endpoints.check_dial(endpoint) == address


@pytest.mark.parametrize(
    "endpoint",
    ["tcp://*:4000", "tcp://127.0.0.1:0", "tcp://127.0.0.1:000", "tcp://127.0.0.1:*"],
)
def test_a_wildcard_cannot_be_dialled(endpoint):
    """A connection needs one host and one port."""
    with pytest.raises(InvalidConfiguration, match="no single host and port"):
        endpoints.check_dial(endpoint)


@pytest.mark.parametrize("check", [endpoints.check_dial, endpoints.check_bind])
@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "alice",
        "udp://127.0.0.1:1",
        "inproc://a",
        "tcp://",
        "tcp://:4000",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:port",
        "tcp://127.0.0.1:65536",
        "tcp://127.0.0.1:99999",
        "tcp://a b:4000",
        "tcp://::1:4000",
        "tcp://[::1]",
        "tcp://1.1.1.1:0;127.0.0.1:4000",
        "tcp://127.0.0.1:4000\n",
        "ipc://",
        "ipc://@",
        "ipc://*",
        "ipc://a\0b",
    ],
)
def test_what_is_no_endpoint_is_refused(check, endpoint):
    """ZeroMQ takes some of these and means something else, such as port 34463 for 99999."""
    with pytest.raises(InvalidConfiguration, match="not an endpoint"):
        check(endpoint)


@pytest.mark.parametrize(
    ("endpoint", "ipv6"),
    [
        ("tcp://*:0", False),
        ("tcp://0.0.0.0:*", False),
        ("tcp://[::]:0", True),
        ("ipc://@name", False),
        ("ipc:///nowhere/a.sock", False),
    ],
)
def test_an_endpoint_that_can_be_bound_says_whether_it_is_ipv6(endpoint, ipv6):
    """Only literals of IPv6 need its option."""
    assert endpoints.check_bind(endpoint) is ipv6


def test_a_stale_socket_file_may_be_replaced(stale):
    """Nobody listens there any more."""
    assert endpoints.check_bind(f"ipc://{stale}") is False


def test_a_living_socket_is_not_replaced(stale):
    """ZeroMQ would take its file away, and the other listener would never be told."""
    stale.unlink()
    with socket.socket(socket.AF_UNIX) as plain:
        plain.bind(str(stale))
        plain.listen()
        with pytest.raises(InvalidConfiguration, match="in use"):
            endpoints.check_bind(f"ipc://{stale}")


def test_a_file_is_not_replaced(tmp_path):
    """ZeroMQ would remove whatever lies there."""
    (tmp_path / "letter").write_text("keep me")
    with pytest.raises(InvalidConfiguration, match="a file lies there"):
        endpoints.check_bind(f"ipc://{tmp_path}/letter")
    assert (tmp_path / "letter").read_text() == "keep me"


def test_a_system_that_cannot_ask_replaces_nothing(stale, monkeypatch):
    """Python on Windows knows no Unix sockets: there a file in the way is in the way."""
    monkeypatch.setattr(endpoints.sys, "platform", "win32")
    with pytest.raises(InvalidConfiguration, match="a file lies there"):
        endpoints.check_bind(f"ipc://{stale}")


def test_files_made_in_private_belong_to_this_user(tmp_path):
    """Nobody else can open them from their first moment on, and the umask comes back."""
    before = os.umask(0o022)
    try:
        with pytest.raises(RuntimeError), endpoints.private_files("ipc://a.sock"):
            (tmp_path / "inside").touch()
            raise RuntimeError
        with endpoints.private_files("tcp://127.0.0.1:0"):
            (tmp_path / "not needed").touch()
        (tmp_path / "outside").touch()
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"inside": 0o600, "not needed": 0o644, "outside": 0o644}


def test_only_socket_files_are_made_private(stale):
    """The file of an ipc endpoint gets mode 0600; what has no file needs none."""
    stale.chmod(0o777)
    for endpoint in (f"ipc://{stale}", "ipc://@name", "tcp://127.0.0.1:4000"):
        endpoints.make_private(endpoint)
    assert stale.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1", "fe80::1"),
        ("localhost:1000:1000:77", "ipc"),
    ],
)
def test_an_address_has_one_form(address, plain):
    """An address of IPv4 does not get a second allowance by coming through IPv6."""
    assert endpoints.plain_address(address) == plain


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (errno.EADDRINUSE, InvalidConfiguration, "the address is in use"),
        (errno.EACCES, InvalidConfiguration, "permission denied"),
        (errno.EINVAL, InvalidConfiguration, "expected"),
        (errno.EMFILE, PeerUnreachable, "no socket or open file"),
        (errno.ENFILE, PeerUnreachable, "this machine has no open file"),
        (errno.EPERM, InvalidConfiguration, os.strerror(errno.EPERM)),
    ],
)
def test_an_error_of_the_system_is_explained(code, kind, text):
    """The text names what was tried, with what, and why not; running out is nobody's setting."""
    error = endpoints.unusable("dial", "tcp://a:1", code)
    assert type(error) is kind
    assert str(error).startswith("cannot dial tcp://a:1: ")
    assert text in str(error)
