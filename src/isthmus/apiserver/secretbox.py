"""Encryption of stored bodies, so that a copied database file gives no Secret away.

AES-256-GCM with a random nonce; the place of an object is bound in, so that a row cannot be moved
to another name unnoticed. The key file holds one hexadecimal key a line: the first one encrypts,
all of them decrypt, which is how a key is rotated.
"""

import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_FORMAT = b"\x01"
_NONCE_BYTES = 12
KEY_BYTES = 32


class UnreadableSecret(Exception):
    """A stored body cannot be decrypted with any key of the key file."""


class SecretBox:
    """Encrypts and decrypts bodies with the keys of one file.

    Args:
        keys: 32-byte keys; the first one encrypts.
    """

    def __init__(self, keys: list[bytes]) -> None:
        self._ciphers = [AESGCM(key) for key in keys]

    def seal(self, place: str, body: bytes) -> bytes:
        """Encrypt `body`, bound to `place`."""
        nonce = os.urandom(_NONCE_BYTES)
        return _FORMAT + nonce + self._ciphers[0].encrypt(nonce, body, place.encode())

    def open_sealed(self, place: str, sealed: bytes) -> bytes:
        """Decrypt what `seal` made for the same place.

        Raises:
            UnreadableSecret: No key fits, or the row was altered.
        """
        nonce, text = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, text, place.encode())
            except InvalidTag:
                continue
        raise UnreadableSecret(
            f"{place} cannot be decrypted: secrets.key is missing or another one; put back the one"
            " that it was written with"
        )


def parse_keys(content: bytes) -> list[bytes]:
    """The keys of a key file, the first one first.

    Raises:
        ValueError: It holds something else.
    """
    keys = [bytes.fromhex(line) for line in content.decode("ascii").split()]
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise ValueError("a key file holds lines of 64 hexadecimal digits")
    return keys


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, all of it or nothing."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
