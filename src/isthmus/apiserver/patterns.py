r"""Regular expressions of schemas, which are Go's on a cluster and JavaScript's in JSON Schema.

What both understand is left to the validator. The rest (`(?i)` for a whole expression, `\pL`,
`[[:alpha:]]`, `\z`) becomes a keyword of our own, which asks RE2, as Go does.

Source: https://github.com/google/re2/wiki/Syntax
"""

from functools import lru_cache
from typing import Any

import jsonschema_rs

from isthmus.apiserver.celoperators import Fault
from isthmus.apiserver.celstandard import pattern

KEYWORD = "isthmus-pattern"
_REMEMBERED = 1024


def is_expression(text: str) -> bool:
    """Whether a cluster takes it for a regular expression."""
    try:
        pattern(text)
    except Fault:
        return False
    return True


@lru_cache(_REMEMBERED)
def keyword_of(text: str) -> str:
    """The keyword by which the validator understands an expression."""
    try:
        jsonschema_rs.Draft4Validator({"pattern": text})
    except ValueError:
        return KEYWORD if is_expression(text) else "pattern"
    return "pattern"


class Pattern:
    """The keyword, as the validator asks for it."""

    def __init__(self, _parent: Any, text: str, _place: Any) -> None:
        self._expression = pattern(text)

    def validate(self, value: Any) -> None:
        """Raises ValueError for a string that does not match."""
        if isinstance(value, str) and self._expression.search(value) is None:
            raise ValueError("does not match")


KEYWORDS: dict[str, Any] = {KEYWORD: Pattern}
"""What the validator is told of it."""
