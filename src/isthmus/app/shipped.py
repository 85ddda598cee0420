"""Where the files are that come with the program: in a checkout, or in the installed package."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_CHECKOUT = _PACKAGE.parents[1]


def _folder(checkout: str, package: str) -> Path:
    here = _CHECKOUT / checkout
    return here if (_CHECKOUT / "pyproject.toml").exists() and here.is_dir() else _PACKAGE / package


def offerings() -> Path:
    """Return the folder of the catalog's files."""
    return _folder("catalog/offerings", "_data/offerings")


def roles() -> Path:
    """Return the folder of the RBAC manifests."""
    return _folder("deploy/rbac", "_data/rbac")
