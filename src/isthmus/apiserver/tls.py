"""The server's own certificate authority and certificate: TLS is on from the first start."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from isthmus.apiserver.secretbox import write_private

_CA_DAYS = 3650
_SERVER_DAYS = 365
_RENEW_DAYS = 30


class ClockIsBehind(Exception):
    """The clock is before the authority was made, so no client would trust it."""


class Certificates:
    """Files `ca.crt`, `ca.key`, `server.crt` and `server.key` of one folder.

    Args:
        folder: Where they are; made with mode 0700.
        host: Address or name that the server certificate must hold besides loopback's.
        now: The time; aware. None: the clock's.

    Raises:
        ClockIsBehind: Everything is left as it is.
    """

    def __init__(self, folder: Path, host: str, now: datetime | None = None) -> None:
        self._now = now or datetime.now(UTC)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.ca_path = folder / "ca.crt"
        self.certificate_path = folder / "server.crt"
        self.key_path = folder / "server.key"
        self._ca_key_path = folder / "ca.key"
        self._names = _alternative_names(host)
        if not (self.ca_path.exists() and self._ca_key_path.exists()):
            self._make_ca()
            self._make_server()
        else:
            self._check_clock()
            if self._must_renew():
                self._make_server()
        self.ca_pem = self.ca_path.read_text()

    def _check_clock(self) -> None:
        made = x509.load_pem_x509_certificate(self.ca_path.read_bytes()).not_valid_before_utc
        if self._now < made:
            raise ClockIsBehind(
                f"the clock says {self._now:%Y-%m-%d %H:%M} UTC, and {self.ca_path} is not valid"
                f" before {made:%Y-%m-%d %H:%M}: set the clock"
            )

    def _must_renew(self) -> bool:
        if not (self.certificate_path.exists() and self.key_path.exists()):
            return True
        certificate = x509.load_pem_x509_certificate(self.certificate_path.read_bytes())
        soon = self._now + timedelta(days=_RENEW_DAYS)
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        valid = certificate.not_valid_before_utc <= self._now and (
            certificate.not_valid_after_utc >= soon
        )
        return not valid or set(held) != set(self._names)

    def _make_ca(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("isthmus-ca")
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False,
            encipher_only=False, decipher_only=False,
        )  # fmt: skip
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = (
            _builder(name, name, key.public_key(), _valid(self._now, _CA_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(identifier, critical=False)
        )
        write_private(self._ca_key_path, _pem(key))
        certificate = builder.sign(key, hashes.SHA256())
        write_private(self.ca_path, certificate.public_bytes(serialization.Encoding.PEM))

    def _make_server(self) -> None:
        authority = x509.load_pem_x509_certificate(self.ca_path.read_bytes())
        ca_key = serialization.load_pem_private_key(self._ca_key_path.read_bytes(), None)
        if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{self._ca_key_path} holds no elliptic-curve key")
        key = ec.generate_private_key(ec.SECP256R1())
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
        builder = (
            _builder(
                _name("isthmus"),
                authority.subject,
                key.public_key(),
                _valid(self._now, _SERVER_DAYS),
            )
            .add_extension(x509.SubjectAlternativeName(self._names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(identifier, critical=False)
        )
        write_private(self.key_path, _pem(key))
        certificate = builder.sign(ca_key, hashes.SHA256())
        write_private(self.certificate_path, certificate.public_bytes(serialization.Encoding.PEM))


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    valid: tuple[datetime, datetime],
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
    )


def _valid(now: datetime, days: int) -> tuple[datetime, datetime]:
    return now - timedelta(minutes=5), now + timedelta(days=days)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _alternative_names(host: str) -> list[x509.GeneralName]:
    names = ["localhost", "127.0.0.1", "::1"]
    if host not in (*names, "0.0.0.0", "::", ""):
        names.append(host)
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found
