"""The files that come with the program: in a checkout, or inside the installed package."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_CHECKOUT = _PACKAGE.parents[1]


def _folder(checkout: str, package: str) -> Path:
    here = _CHECKOUT / checkout
    return here if (_CHECKOUT / "pyproject.toml").exists() and here.is_dir() else _PACKAGE / package


def offerings() -> dict[str, str]:
    """Return the catalog: the text of every offering by its name."""
    return _texts(_folder("catalog/offerings", "_data/offerings"))


def roles() -> dict[str, str]:
    """Return the RBAC manifests by file name."""
    return _texts(_folder("deploy/rbac", "_data/rbac"))


def _texts(folder: Path) -> dict[str, str]:
    return {file.stem: file.read_text() for file in sorted(folder.glob("*.yaml"))}
