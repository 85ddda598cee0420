"""Draw what a command prints in a terminal as an SVG, so that pictures here are real output.

python docs/images/record.py docs/images/demo.svg isthmus demo --once
"""

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

_COLUMNS = 110


def main() -> int:
    """Run the command, write the picture, and end as the command did."""
    picture, command = Path(sys.argv[1]), sys.argv[2:]
    environment = os.environ | {
        "FORCE_COLOR": "1",
        "COLUMNS": str(_COLUMNS),
        "TERM": "xterm-256color",
    }
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    console = Console(record=True, width=_COLUMNS, file=StringIO())
    console.print(f"[bold]$ {' '.join(command)}[/bold]", highlight=False)
    console.print(Text.from_ansi(done.stdout.decode()))
    title = command[0]
    picture.write_text(console.export_svg(title=title, unique_id=picture.stem))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
