"""Plays chapters against two servers and prints how they differ, for those who write chapters.

python -m tests.oracle KUBECONFIG [CHAPTER...]
"""

import sys
import tempfile
from pathlib import Path

from tests.apiserver_listening import Listening
from tests.kubernetes_plane import flattened
from tests.oracle.playing import homes, play, prepare
from tests.oracle.script import chapters


def main() -> None:
    """See the module."""
    there, wanted = flattened(Path(sys.argv[1])), sys.argv[2:]
    with (
        tempfile.TemporaryDirectory() as folder,
        Listening(Path(folder) / "data") as here,
        homes(Path(folder), here.kubeconfig(), there) as pair,
    ):
        prepare(pair)
        for chapter in chapters():
            if not wanted or any(chapter.name.startswith(name) for name in wanted):
                for line in play(chapter, pair).report():
                    print(line, flush=True)  # noqa: T201 - it is what this program is for


main()
