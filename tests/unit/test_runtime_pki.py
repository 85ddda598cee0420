"""The keys of a cluster: laws of their making, and that openssl opens what we seal."""

import base64
import io
import json
import shutil
import ssl
import subprocess
import tarfile
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.runtime import pki

NOW = datetime(2026, 11, 21, 4, 5, 6, 789, tzinfo=UTC)
needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")


@pytest.fixture(scope="module")
def authorities():
    return pki.make_authorities(NOW)


def test_the_authorities_have_the_names_that_kubeadm_wants(authorities):
    assert set(authorities) == pki.PKI_KEYS
    sealed = pki.sealed_bundle(authorities | {"note": "not for nodes"}, "k")
    with tarfile.open(fileobj=io.BytesIO(pki.unseal(sealed, "k"))) as tar:
        files = {member.name: member for member in tar if member.isfile()}
    assert set(files) == {
        "ca.crt", "ca.key", "etcd/ca.crt", "etcd/ca.key", "front-proxy-ca.crt",
        "front-proxy-ca.key", "sa.key", "sa.pub",
    }  # fmt: skip
    assert {f.mode for name, f in files.items() if name.endswith(".key")} == {0o600}


def test_a_sealed_bundle_is_small_enough_for_user_data(authorities):
    assert len(pki.sealed_bundle(authorities, pki.sealing_key())) < 8192


@given(st.binary(max_size=300), st.text("0123456789abcdef", min_size=1, max_size=64))
@settings(max_examples=8)
def test_what_is_sealed_can_be_opened_and_never_reads_the_same_twice(content, key):
    sealed = pki.seal(content, key)
    assert pki.unseal(sealed, key) == content
    assert pki.seal(content, key) != sealed


@given(st.binary(min_size=64, max_size=300), st.integers(0, 2**32))
@settings(max_examples=8)
def test_another_key_opens_nothing(content, other):
    try:
        opened = pki.unseal(pki.seal(content, "right"), f"wrong-{other}")
    except ValueError:
        return
    assert opened != content


def test_what_is_not_sealed_is_refused():
    with pytest.raises(ValueError, match="sealed"):
        pki.unseal(base64.b64encode(b"x" * 32).decode(), "key")


@needs_openssl
def test_openssl_opens_the_bundle(authorities, tmp_path):
    key = pki.sealing_key()
    (tmp_path / "key").write_text(key + "\n")
    opened = subprocess.run(
        ["openssl", "enc", "-d", "-aes-256-cbc", "-pbkdf2", "-iter", str(pki.SEAL_ROUNDS),
         "-md", "sha256", "-a", "-A", "-pass", f"file:{tmp_path}/key"],
        input=pki.sealed_bundle(authorities, key).encode(), capture_output=True, check=True,
    ).stdout  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(opened)) as tar:
        member = tar.extractfile("ca.key")
        assert member is not None
        assert member.read().decode() == authorities["ca.key"]


@needs_openssl
def test_the_hash_is_the_one_of_the_documented_openssl_pipe(authorities, tmp_path):
    (tmp_path / "ca.crt").write_text(authorities["ca.crt"])
    pipe = (
        f"openssl x509 -pubkey -noout -in {tmp_path}/ca.crt | openssl pkey -pubin -outform der"
        " | openssl dgst -sha256 -hex"
    )
    said = subprocess.run(pipe, shell=True, capture_output=True, text=True, check=True).stdout
    assert pki.ca_hash(authorities["ca.crt"]) == f"sha256:{said.split()[-1]}"


@given(st.integers(1, 5000))
@settings(max_examples=8, deadline=None)
def test_a_certificate_never_outlives_its_authority(authorities, days):
    admin = pki.issue_admin(authorities, NOW, lifetime=timedelta(days=days))
    assert admin.expires_at == min(
        NOW.replace(microsecond=0) + timedelta(days=days),
        NOW.replace(microsecond=0) + pki.AUTHORITY_LIFETIME,
    )
    assert pki.issued_by(admin.certificate, authorities["ca.crt"])
    assert not pki.must_renew(admin.certificate, admin.expires_at - pki.RENEW_BEFORE)
    later = admin.expires_at - pki.RENEW_BEFORE + timedelta(seconds=1)
    assert pki.must_renew(admin.certificate, later)


def test_what_cannot_be_read_must_be_renewed(authorities):
    assert pki.must_renew("", NOW)
    assert not pki.issued_by("", authorities["ca.crt"])


def test_another_authority_did_not_issue_it(authorities):
    admin = pki.issue_admin(authorities, NOW)
    assert not pki.issued_by(admin.certificate, authorities["etcd-ca.crt"])
    assert not pki.issued_by(admin.certificate, pki.make_authorities(NOW)["ca.crt"])


def test_a_kubeconfig_carries_everything_and_python_accepts_its_certificates(authorities, tmp_path):
    admin = pki.issue_admin(authorities, datetime.now(UTC), user="ann", groups=("dev", "ops"))
    config = json.loads(
        pki.kubeconfig("shop", "https://192.0.2.1:6443", authorities["ca.crt"], admin)
    )
    assert config["current-context"] == config["contexts"][0]["name"] == "shop"
    user = config["users"][0]["user"]
    for part in ("certificate", "key"):
        (tmp_path / part).write_bytes(base64.b64decode(user[f"client-{part}-data"]))
    context = ssl.create_default_context(cadata=authorities["ca.crt"])
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    ca = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"])
    assert ca.decode() == authorities["ca.crt"]


def test_no_key_is_shown(authorities):
    assert "PRIVATE" not in repr(pki.issue_admin(authorities, NOW))


def test_an_authority_that_others_keep_signs_our_request(authorities):
    key, request = pki.request_admin()
    asked = x509.load_pem_x509_csr(request.encode())
    assert asked.is_signature_valid
    assert asked.subject.rfc4514_string() == "CN=isthmus-admin,O=system:masters"
    mine = serialization.load_pem_private_key(key.encode(), None)
    assert mine.public_key() == asked.public_key()
    signed = pki.issue_admin(authorities, NOW).certificate
    got = pki.received(signed, key)
    assert (got.certificate, got.key) == (signed, key)
    assert got.expires_at > NOW
    with pytest.raises(ValueError, match="PEM"):
        pki.received("nothing", key)
