"""One process a state folder."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from isthmus.faces.cli.failures import CommandFailed, Exit


@contextmanager
def exclusive(folder: Path) -> Generator[None]:
    """Hold a state folder; the lock goes with the process, however that ends.

    Raises:
        CommandFailed: Another process holds it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as exc:
        raise CommandFailed(
            f"--data-dir: {folder}: {exc.strerror}; name a folder that you may write", Exit.USAGE
        ) from exc
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            holder = os.pread(file, 20, 0).decode().strip() or "unknown"
            raise CommandFailed(
                f"--data-dir: {folder} is in use by process {holder}; stop that one, or name "
                "another folder",
                Exit.CONFLICT,
            ) from exc
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(file)
