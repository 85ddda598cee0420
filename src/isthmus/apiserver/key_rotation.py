"""A new key for the encryption of Secrets: all are encrypted anew, then the old key goes.

The key file holds the new key before the first object is rewritten, and the old one until the last
is. So whatever happens in between, all of them can be read, and the next start ends what was begun.
A backup needs the key of its time.
"""

import os
from pathlib import Path

from isthmus.apiserver.database import Database
from isthmus.apiserver.secretbox import SecretBox, parse_keys, write_private


def rotate(database: Database, path: Path) -> int:
    """Encrypt everything with a new key; how many objects those were.

    Args:
        database: Called in its thread.
        path: The key file.
    """
    keys = [os.urandom(32), *parse_keys(path.read_bytes())]
    _write(path, keys)
    return finish(database, path)


def finish(database: Database, path: Path) -> int:
    """End a rotation that was begun; how many objects were rewritten, 0 when there was none."""
    keys = parse_keys(path.read_bytes())
    if len(keys) < 2:
        return 0
    done = database.reseal(SecretBox(keys))
    _write(path, keys[:1])
    database.box = SecretBox(keys[:1])
    return done


def _write(path: Path, keys: list[bytes]) -> None:
    write_private(path, b"".join(key.hex().encode() + b"\n" for key in keys))
