"""The words of the Common Expression Language: a text's tokens, and what its constants are.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax
"""

import re
from typing import NamedTuple

_TOKEN = re.compile(
    r"(?P<space>(?:\s|//[^\n]*)+)"
    r"|(?P<number>\d+\.\d+(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+"
    r"|0[xX][0-9a-fA-F]+[uU]?|\d+[uU]?)"
    r"|(?P<text>(?:[rR][bB]?|[bB][rR])(?:'''[\s\S]*?'''|\"\"\"[\s\S]*?\"\"\"|'[^'\n]*'|\"[^\"\n]*\")"
    r"|[bB]?(?:'''[\s\S]*?'''|\"\"\"[\s\S]*?\"\"\"|'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"))"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%!<>?:.,()\[\]{}])",
    re.ASCII,
)
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\'\"`?])|x([0-9a-fA-F]{2})|X([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})"
    r"|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|([\s\S]))"
)
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
LARGEST, SMALLEST = 2**63 - 1, -(2**63)


class UInt(int):
    """An unsigned integer."""


class SyntaxFault(ValueError):
    """A text is no expression; the message says where."""


class Token(NamedTuple):
    """A word: its kind (a sign is its own), its text, and where that begins."""

    kind: str
    text: str
    at: int


def fault(text: str, at: int, why: str) -> str:
    """A message as Kubernetes' compiler has them, with the place in the text."""
    line = text.count("\n", 0, at) + 1
    start = text.rfind("\n", 0, at) + 1
    shown = text[start:].split("\n", 1)[0]
    return f"ERROR: <input>:{line}:{at - start + 1}: {why}\n | {shown}\n | {'.' * (at - start)}^"


def syntax_fault(text: str, at: int, why: str) -> SyntaxFault:
    """What is raised where a text breaks the grammar."""
    return SyntaxFault(fault(text, at, f"Syntax error: {why}"))


def tokens(text: str) -> list[Token]:
    """The words of a text; the last one is its end.

    Raises:
        SyntaxFault: Something in it is no word.
    """
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise syntax_fault(text, at, f"token recognition error at: '{text[at]}'")
        kind = match.lastgroup or ""
        if kind != "space":
            word = match[0]
            if kind == "sign" or (kind == "name" and word == "in"):
                kind = word
            found.append(Token(kind, word, at))
        at = match.end()
    return [*found, Token("end", "<EOF>", len(text))]


def number(text: str, token: Token, *, negative: bool) -> int | float:
    """The number that a token of `text` is. Raises SyntaxFault for one that is too large."""
    word = token.text.lower()
    sign = -1 if negative else 1
    if not word.startswith("0x") and any(mark in word for mark in ".e"):
        return sign * float(word)
    unsigned = word.endswith("u")
    value = sign * int(word.removesuffix("u"), 16 if word.startswith("0x") else 10)
    if unsigned:
        if not 0 <= value < 2**64:
            raise syntax_fault(text, token.at, "invalid uint literal")
        return UInt(value)
    if not SMALLEST <= value <= LARGEST:
        raise syntax_fault(text, token.at, "invalid int literal")
    return value


def string(text: str, token: Token) -> str | bytes:
    """The string, or bytes, that a token of `text` is. Raises SyntaxFault for a wrong escape."""
    quote = re.search(r"['\"]", token.text)
    start = quote.start() if quote else 0
    prefix, body = token.text[:start].lower(), token.text[start:]
    width = 3 if body[:3] in ("'''", '"""') and len(body) >= 6 else 1
    body = body[width:-width]
    as_bytes = "b" in prefix
    if "r" not in prefix:
        body = _ESCAPE.sub(lambda found: _unescaped(found, text, token), body)
    if not as_bytes:
        return body
    return body.encode("utf-8" if any(ord(c) > 255 for c in body) else "latin-1")


def _unescaped(found: re.Match[str], text: str, token: Token) -> str:
    letter, *codes, octal, wrong = found.groups()
    if wrong is not None:
        raise syntax_fault(text, token.at, f"invalid escape \\{wrong}")
    if letter is not None:
        return _LETTERS.get(letter, letter)
    code = int(octal, 8) if octal else int(next(code for code in codes if code), 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise syntax_fault(text, token.at, "invalid code point")
    return chr(code)
