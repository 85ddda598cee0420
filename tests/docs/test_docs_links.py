"""Links within the documentation lead somewhere, and every page can be reached."""

import re
from pathlib import Path

import pytest

from tests.docs import blocks as markdown
from tests.docs.blocks import ROOT

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
_CODE = re.compile(r"`[^`]*`")
_OWN = (*markdown.pages(), *(ROOT / name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md")))


def links(page: Path) -> list[str]:
    return _LINK.findall(_CODE.sub("", markdown.prose(page)))


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.replace("`", "").strip().lower())
    return kept.replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(heading) for heading in _HEADING.findall(markdown.prose(page))}


@pytest.mark.parametrize("page", _OWN, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link} leads nowhere"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{page.name}: {link}: no such heading"


def test_every_page_is_linked_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    missing = [p for p in (ROOT / "docs").rglob("*.md") if p != index and p not in linked]
    assert not missing, f"docs/index.md does not link {[str(p.relative_to(ROOT)) for p in missing]}"
