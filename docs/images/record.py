"""Draw what a command prints in a terminal as an SVG, so that pictures here are real output.

    python docs/images/record.py docs/images/demo.svg isthmus demo --once

Paragraphs of more than a dozen lines are cut in the middle, which the picture shows.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

_COLUMNS = 110
_LONG, _HEAD, _TAIL = 12, 7, 4


def main() -> int:
    """Run the command, write the picture, and end as the command did."""
    picture, command = Path(sys.argv[1]), sys.argv[2:]
    environment = os.environ | {"COLUMNS": str(_COLUMNS), "TERM": "xterm-256color"}
    environment["FORCE_COLOR"] = environment["PYTHONUNBUFFERED"] = "1"
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False)
    console = Console(record=True, width=_COLUMNS, file=StringIO())
    console.print(Text(f"$ {' '.join(command)}", style="bold green"))
    for line in shortened(done.stdout.decode().strip()):
        heading = re.match(r"\d+\. ", line)
        console.print(Text.from_ansi(line, style="bold" if heading else ""))
    drawing = console.export_svg(title=command[0], unique_id=picture.stem)
    # The viewer's own monospaced font will do: a picture fetches nothing.
    picture.write_text(re.sub(r"\s*@font-face \{.*?\}", "", drawing, flags=re.DOTALL))
    return done.returncode


def shortened(text: str) -> Iterator[str]:
    """Yield the lines, long paragraphs cut."""
    for paragraph in text.split("\n\n"):
        lines = paragraph.splitlines()
        if len(lines) > _LONG:
            lines = [*lines[:_HEAD], f"   [{len(lines) - _HEAD - _TAIL} lines]", *lines[-_TAIL:]]
        yield from lines
        yield ""


if __name__ == "__main__":
    sys.exit(main())
