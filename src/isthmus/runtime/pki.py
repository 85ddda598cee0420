"""The keys of a cluster: its authorities, its administrators' certificates, and its sealed bundle.

Isthmus makes the authorities before the first server boots, so it knows how to prove the cluster's
API to everybody and never asks a node for a secret. A control plane gets them as one sealed bundle
that openssl opens; the key travels apart and is withdrawn afterwards (see
``designs/0007-cluster-secrets.md``).

The names are kubeadm's, https://kubernetes.io/docs/setup/best-practices/certificates/. Values are
PEM texts; whoever calls keeps them in a Secret. Nothing here is logged.
"""

import base64
import hashlib
import io
import secrets
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import orjson
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFETIME = timedelta(days=3650)
ADMIN_LIFETIME = timedelta(days=30)
RENEW_BEFORE = timedelta(days=10)
"""A certificate is renewed when less than this is left of it."""

SEAL_ROUNDS = 10_000
"""Of PBKDF2, openssl's own default: the key is random and long enough by itself."""

_BACKDATED = timedelta(minutes=5)
"""For nodes whose clocks are behind."""
_AUTHORITIES = {
    "ca": "kubernetes",
    "front-proxy-ca": "front-proxy-ca",
    "etcd-ca": "etcd-ca",
}
"""Name of the pair in the Secret, and the subject that kubeadm would give it."""
_MAGIC = b"Salted__"

PKI_KEYS = frozenset(
    {*(f"{n}.{end}" for n in _AUTHORITIES for end in ("crt", "key")), "sa.key", "sa.pub"}
)
"""Keys that ``make_authorities`` returns, fit for a Secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A client certificate with its key, both PEM."""

    certificate: str
    key: str = field(repr=False)
    expires_at: datetime
    """Aware, in UTC."""


def make_authorities(now: datetime) -> dict[str, str]:
    """Make a cluster's authorities and its service-account key; the keys are ``PKI_KEYS``."""
    made: dict[str, str] = {}
    for name, subject in _AUTHORITIES.items():
        key = ec.generate_private_key(ec.SECP256R1())
        made[f"{name}.crt"] = _authority(subject, key, now)
        made[f"{name}.key"] = _private(key)
    # RSA, since consumers of service-account tokens outside the cluster often know RS256 only.
    signer = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = signer.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return made | {"sa.key": _private(signer), "sa.pub": public.decode()}


def ca_hash(ca_certificate: str) -> str:
    """Return what ``kubeadm join`` pins: ``sha256:`` of the certificate's public key (SPKI)."""
    certificate = x509.load_pem_x509_certificate(ca_certificate.encode())
    spki = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return f"sha256:{hashlib.sha256(spki).hexdigest()}"


def issue_admin(
    authorities: Mapping[str, str],
    now: datetime,
    *,
    user: str = "isthmus-admin",
    groups: tuple[str, ...] = ("system:masters",),
    lifetime: timedelta = ADMIN_LIFETIME,
) -> Credential:
    """Issue a client certificate of the cluster's authority.

    Kubernetes cannot revoke one, so it lives for days and is renewed.

    Args:
        authorities: With keys ``ca.crt`` and ``ca.key``.
        now: Aware.
        user: Common name: the user that the API sees.
        groups: Organisations: the groups that the API sees.
        lifetime: From now; it never outlives the authority.
    """
    ca = x509.load_pem_x509_certificate(authorities["ca.crt"].encode())
    ca_key = _elliptic(authorities["ca.key"])
    key = ec.generate_private_key(ec.SECP256R1())
    # Certificates know whole seconds only.
    ends = min(now + lifetime, ca.not_valid_after_utc).replace(microsecond=0)
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject.append(x509.NameAttribute(NameOID.COMMON_NAME, user))
    builder = (
        _builder(x509.Name(subject), ca.subject, key.public_key(), (now - _BACKDATED, ends))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
    )
    certificate = builder.sign(ca_key, hashes.SHA256())
    return Credential(certificate=_pem(certificate), key=_private(key), expires_at=ends)


def request_admin(
    *, user: str = "isthmus-admin", groups: tuple[str, ...] = ("system:masters",)
) -> tuple[str, str]:
    """Return a new key and a request for a client certificate, for an authority that others keep.

    Args:
        user: Common name: the user that the API sees.
        groups: Organisations: the groups that the API sees.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject.append(x509.NameAttribute(NameOID.COMMON_NAME, user))
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name(subject))
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    )
    request = builder.sign(key, hashes.SHA256())
    return _private(key), request.public_bytes(serialization.Encoding.PEM).decode()


def received(certificate: str, key: str) -> Credential:
    """Return a certificate that somebody signed for us, with its key.

    Raises:
        ValueError: It is no certificate.
    """
    read = x509.load_pem_x509_certificate(certificate.encode())
    return Credential(certificate=certificate, key=key, expires_at=read.not_valid_after_utc)


def must_renew(certificate: str, now: datetime, *, before: timedelta = RENEW_BEFORE) -> bool:
    """Tell whether less than ``before`` is left of a certificate, or it cannot be read."""
    try:
        read = x509.load_pem_x509_certificate(certificate.encode())
    except ValueError:
        return True
    return read.not_valid_after_utc - now < before


def issued_by(certificate: str, ca_certificate: str) -> bool:
    """Tell whether a certificate was signed by that authority: after a rotation it was not."""
    try:
        read = x509.load_pem_x509_certificate(certificate.encode())
        read.verify_directly_issued_by(x509.load_pem_x509_certificate(ca_certificate.encode()))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def kubeconfig(name: str, server: str, ca_certificate: str, credential: Credential) -> str:
    """Write a kubeconfig that needs no program and no file beside it (YAML, written as JSON).

    Args:
        name: Of the cluster and of the context.
        server: URL of the API, for example ``https://203.0.113.7:6443``.
        ca_certificate: PEM.
        credential: Of the user.
    """
    user = f"{name}-admin"
    cluster = {"server": server, "certificate-authority-data": _encoded(ca_certificate)}
    identity = {
        "client-certificate-data": _encoded(credential.certificate),
        "client-key-data": _encoded(credential.key),
    }
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": user, "user": identity}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        "current-context": name,
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n"


def sealing_key() -> str:
    """Return a new key for ``seal``: 256 bits, in letters that a shell leaves alone."""
    return secrets.token_hex(32)


def sealed_bundle(authorities: Mapping[str, str], key: str) -> str:
    """Pack a cluster's authorities as kubeadm wants them below ``/etc/kubernetes/pki`` and seal it.

    A node opens it by ``openssl enc -d -aes-256-cbc -pbkdf2 -iter 10000 -md sha256 -a -A
    -pass file:KEY | tar -xz -C /etc/kubernetes/pki``.
    """
    files = {_file(name): text.encode() for name, text in authorities.items() if name in PKI_KEYS}
    return seal(_archive(files), key)


def seal(content: bytes, key: str) -> str:
    """Encrypt so that ``openssl enc -d -aes-256-cbc -pbkdf2`` opens it; base64 in one line.

    It keeps a secret and proves no origin: who may write a server's user data may write the
    command that opens it, too.
    """
    salt = secrets.token_bytes(8)
    cipher = _cipher(key, salt)
    padder = padding.PKCS7(128).padder()
    encryptor = cipher.encryptor()
    body = encryptor.update(padder.update(content) + padder.finalize()) + encryptor.finalize()
    return base64.b64encode(_MAGIC + salt + body).decode()


def unseal(sealed: str, key: str) -> bytes:
    """Open what ``seal`` made. Raises ValueError for another key or another text."""
    raw = base64.b64decode(sealed, validate=True)
    if raw[:8] != _MAGIC:
        raise ValueError("not a sealed text")
    decryptor = _cipher(key, raw[8:16]).decryptor()
    padded = decryptor.update(raw[16:]) + decryptor.finalize()
    unpadder = padding.PKCS7(128).unpadder()
    return unpadder.update(padded) + unpadder.finalize()


def _cipher(key: str, salt: bytes) -> Cipher[modes.CBC]:
    # openssl derives the key and the initialisation vector in one go.
    derived = PBKDF2HMAC(hashes.SHA256(), 48, salt, SEAL_ROUNDS).derive(key.encode())
    return Cipher(algorithms.AES256(derived[:32]), modes.CBC(derived[32:]))


def _file(name: str) -> str:
    """``etcd-ca.crt`` is the only one that kubeadm keeps in a folder."""
    return name.replace("etcd-", "etcd/", 1)


def _archive(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=9) as tar:
        folder = tarfile.TarInfo("etcd")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
        for name, content in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o600 if name.endswith(".key") else 0o644
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def _authority(subject: str, key: ec.EllipticCurvePrivateKey, now: datetime) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    validity = (now - _BACKDATED, now + AUTHORITY_LIFETIME)
    builder = (
        _builder(name, name, key.public_key(), validity)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
    )
    return _pem(builder.sign(key, hashes.SHA256()))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    validity: tuple[datetime, datetime],
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity[0])
        .not_valid_after(validity[1])
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
        content_commitment=False, key_encipherment=True, data_encipherment=False,
        key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _elliptic(text: str) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(text.encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("ca.key holds no elliptic-curve key")
    return key


def _private(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    # The traditional form: every version of kubeadm reads it.
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    return text.decode()


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
