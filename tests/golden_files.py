"""Golden files: generated text that a reviewer reads. ``GOLDEN=overwrite pytest`` writes them."""

import os
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"


def assert_golden(text: str, name: str) -> None:
    """Hold text against ``tests/golden/<name>``."""
    file = GOLDEN / name
    if os.environ.get("GOLDEN") == "overwrite":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert file.exists(), f"no {file}; look at the text and write it with GOLDEN=overwrite"
    assert text == file.read_text(), f"{file} differs; GOLDEN=overwrite if that is meant"
