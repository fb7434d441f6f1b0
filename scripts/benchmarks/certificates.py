"""A throw-away authority and two certificates, for peers that speak mutual TLS.

Keys are of P-256, which every TLS library takes and none is slow with.
"""

import tempfile
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ADDRESS = "127.0.0.1"
_AUTHORITY, _RECEIVER, _SENDER = "authority", "receiver", "sender"


class Papers(NamedTuple):
    """Files of one side: its certificate, the key of it, and the authority that it believes."""

    certificate: str
    key: str
    authority: str

    def contents(self) -> tuple[bytes, bytes, bytes]:
        """What is in them."""
        certificate, key, authority = (Path(path).read_bytes() for path in self)
        return certificate, key, authority


class Certificates(NamedTuple):
    """Papers of both sides."""

    receiver: Papers
    sender: Papers


def make_certificates(folder: str | None = None) -> Certificates:
    """Write new ones to a folder, by default one of their own among temporary files."""
    home = Path(folder or tempfile.mkdtemp(prefix="certificates-"))
    key = ec.generate_private_key(ec.SECP256R1())
    _write(home, _AUTHORITY, key, _certificate(_AUTHORITY, key, None))
    for name in (_RECEIVER, _SENDER):
        own = ec.generate_private_key(ec.SECP256R1())
        _write(home, name, own, _certificate(name, own, key))
    return Certificates(_papers(home, _RECEIVER), _papers(home, _SENDER))


def _papers(home: Path, name: str) -> Papers:
    return Papers(
        str(home / f"{name}.pem"), str(home / f"{name}.key"), str(home / f"{_AUTHORITY}.pem")
    )


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, authority: ec.EllipticCurvePrivateKey | None
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_called(name))
        .issuer_name(_called(_AUTHORITY))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
    )
    if authority is not None:
        names = [x509.DNSName("localhost"), x509.IPAddress(ip_address(ADDRESS))]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(authority or key, hashes.SHA256())


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _write(
    home: Path, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
) -> None:
    pem = serialization.Encoding.PEM
    (home / f"{name}.pem").write_bytes(certificate.public_bytes(pem))
    (home / f"{name}.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
