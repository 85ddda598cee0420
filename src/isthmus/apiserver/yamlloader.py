"""YAML as Kubernetes reads it: of version 1.1, but without times and numbers to the base of 60.

What a plain word means follows `sigs.k8s.io/yaml`, so that a body means here what it means there:
`12:30:45` and `2024-01-01` are strings, `1e3` is a number, `y` is true.
"""

import math
import re
from typing import Any

import yaml

from isthmus.apiserver.errors import bad_request

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 500
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_TRUTHS = ("y", "n", "yes", "no", "on", "off", "true", "false")
_FLOAT = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
_INT = r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|[1-9][0-9_]*|0)"


class Loader(_LOADER):
    """A safe loader with Kubernetes' plain words; the C one where there is one."""

    yaml_implicit_resolvers: dict[str | None, Any] = {}  # noqa: RUF012 - PyYAML's own attribute


def _spelled(word: str) -> tuple[str, ...]:
    return (word, word.capitalize(), word.upper())


def _resolve(tag: str, expression: str, first: str) -> None:
    compiled = re.compile(rf"(?:{expression})\Z", re.ASCII)
    for letter in first:
        known = Loader.yaml_implicit_resolvers.setdefault(letter, [])
        known.append((f"tag:yaml.org,2002:{tag}", compiled))


def _truth(loader: Any, node: Any) -> bool:
    return loader.construct_scalar(node).lower() in ("y", "yes", "on", "true")


def _number(loader: Any, node: Any) -> float:
    value = float(loader.construct_yaml_float(node))
    if not math.isfinite(value):
        raise yaml.YAMLError(f"{node.value} is no number in JSON")
    return value


def check(body: bytes) -> None:
    """Refuse, before anything is made of it, what would grow or nest beyond measure.

    The C library recurses as deep as a text nests, and the process ends when its stack does.

    Raises:
        ApiError: 400, some part of a text stands for another one, or it is nested too deeply.
        yaml.YAMLError: It cannot be read.
    """
    depth = 0
    for event in yaml.parse(body, _LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise bad_request("YAML aliases are not accepted")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                raise bad_request(f"the body is nested deeper than {_DEEPEST} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def dump(value: Any) -> str:
    """A value as YAML."""
    return yaml.dump(value, None, _DUMPER, default_flow_style=False)


def load(body: bytes) -> Any:
    """The first document of a text that `check` has let pass.

    Raises:
        yaml.YAMLError: It is none.
    """
    return next(iter(yaml.load_all(body, Loader)), None)


_resolve("int", _INT, "+-0123456789")
_resolve("float", _FLOAT, "+-.0123456789")
_resolve("merge", "<<", "<")
_resolve("null", "~|null|Null|NULL", "~nN")
Loader.yaml_implicit_resolvers[""] = [("tag:yaml.org,2002:null", re.compile(r"\Z"))]
for _word in _TRUTHS:
    _resolve("bool", "|".join(_spelled(_word)), _word[0] + _word[0].upper())
Loader.add_constructor("tag:yaml.org,2002:bool", _truth)
Loader.add_constructor("tag:yaml.org,2002:float", _number)
