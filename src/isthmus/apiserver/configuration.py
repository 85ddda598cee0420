"""Reading of configuration files; what is wrong or not supported is refused and named."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from isthmus.apiserver.jsonvalues import Json


class InvalidConfiguration(Exception):
    """A configuration file is wrong; the message names the file, the field and the remedy."""


def read(path: Path, versions: tuple[str, ...], kind: str) -> Json:
    """The object of a YAML file.

    Args:
        path: The file.
        versions: What its `apiVersion` may be.
        kind: What its `kind` must be.

    Raises:
        InvalidConfiguration: It cannot be read, or is something else.
    """
    try:
        content: Any = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidConfiguration(f"cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise InvalidConfiguration("must be an object")
    found = cast("Json", content)
    if found.get("kind") != kind or found.get("apiVersion") not in versions:
        raise InvalidConfiguration(f"apiVersion must be {versions[0]}, and kind {kind}")
    return found


def fields(at: str, value: Any, known: frozenset[str]) -> Json:
    """An object that has no other fields than the known ones.

    Args:
        at: Where it is, for the message.
        value: What stands there; None: nothing, which is as good as empty.
        known: Names of fields.

    Raises:
        InvalidConfiguration: It is no object, or has other fields.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidConfiguration(f"{at}: must be an object")
    found = cast("Json", value)
    for name in found:
        if name not in known:
            where = f"{at}.{name}".lstrip(".")
            raise InvalidConfiguration(
                f"{where}: is not supported here; there are {', '.join(sorted(known))}"
            )
    return found


def listed(at: str, found: Mapping[str, Any], name: str) -> list[Any]:
    """A field that is a list, or absent.

    Raises:
        InvalidConfiguration: It is something else.
    """
    value = found.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidConfiguration(f"{at}.{name}".lstrip(".") + ": must be a list")
    return cast("list[Any]", value)
