"""Initialised, empty databases, made once and copied for each new cluster.

To initialise one costs a second or more of processor time, which every fresh lab would pay again;
so they are kept in the user's cache, for all labs.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from isthmus_lab_aws.databases import children


def cache_folder() -> Path:
    """Where this user's templates are kept (XDG base directories)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "isthmus-lab-aws"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def template(folder: Path, name: str, initialise: Callable[[Path], None]) -> Path:
    """The template of that name; made by `initialise` if it is absent.

    Several labs may make it at once: the first one to finish wins.
    """
    found = folder / name
    if found.exists():
        return found
    draft = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder))
    try:
        children.own(draft)
        initialise(draft)
        draft.rename(found)
    except OSError:
        if not found.exists():
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return found
