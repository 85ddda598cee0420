"""How rules write names of properties that are no identifiers: `a-b` is `a__dash__b`.

Source: https://kubernetes.io/docs/reference/using-api/cel/#escaping
"""

import re

_RESERVED = frozenset(
    ("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function",
     "if", "import", "let", "loop", "package", "namespace", "return", "var", "void", "while")
)  # fmt: skip
"""Names that a rule writes as `__if__`."""
_MARKS = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_PLAIN = {mark: plain for plain, mark in _MARKS.items()}
_TO_ESCAPE, _ESCAPED = re.compile(r"__|[./-]"), re.compile("|".join(_PLAIN))
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def escaped(name: str) -> str | None:
    """What a rule calls the property `name`; None: it cannot."""
    if name in _RESERVED:
        return f"__{name}__"
    out = _TO_ESCAPE.sub(lambda match: _MARKS[match[0]], name)
    return out if _IDENTIFIER.fullmatch(out) else None


def unescaped(name: str) -> str:
    """The name of a property behind an identifier: `a__dash__b` is `a-b`, `__if__` is `if`."""
    if "__" not in name:
        return name
    if name.startswith("__") and name.endswith("__") and name[2:-2] in _RESERVED:
        return name[2:-2]
    return _ESCAPED.sub(lambda match: _PLAIN[match[0]], name)
