"""What the lab builds, kept in the cache by the digest of what it was made from."""

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from isthmus_lab_kubernetes.settings import cache


def digest(*inputs: str | Path) -> str:
    """Twelve hexadecimal digits over texts, files and folders."""
    total = hashlib.sha256()
    for item in inputs:
        if isinstance(item, str):
            total.update(item.encode() + b"\0")
            continue
        files = (
            sorted(path for path in item.rglob("*") if path.is_file()) if item.is_dir() else [item]
        )
        for path in files:
            total.update(str(path.relative_to(item)).encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()[:12]


@contextmanager
def locked(name: str) -> Generator[None]:
    """Let one process at a time make something."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def artefact(name: str, fingerprint: str, make: Callable[[Path], None]) -> Path:
    """Return the folder of something built; `make` fills an empty one when it is not there.

    A build that is killed leaves nothing that could be taken for the whole.
    """
    target = cache() / f"{name}-{fingerprint}"
    if target.exists():
        return target
    with locked(name):
        if target.exists():
            return target
        unfinished = cache() / f".{name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        make(unfinished)
        unfinished.rename(target)
    return target
