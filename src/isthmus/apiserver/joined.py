"""Long bodies, sent in pieces: the caller reads the first ones while the next are encrypted.

Nothing as long as the whole is made then, neither by us nor by the TLS layer, whose buffers never
shrink again; and while a caller does not keep up, others are served.
"""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

PIECES = "apiserver.pieces"
"""Key in an ASGI scope: there, where answers go out over a network and pieces pay."""
PIECE_BYTES = 128 * 1024
"""So that a piece stays in a processor's own cache while it is joined, encrypted and written."""


class Joined:
    """Parts with commas between.

    Args:
        parts: One at least.
        piece_bytes: How much goes out at once; a longer part does so by itself.
    """

    __slots__ = ("_ends", "_parts", "_piece_bytes")

    def __init__(self, parts: list[bytes], piece_bytes: int = PIECE_BYTES) -> None:
        self._parts = parts
        self._piece_bytes = piece_bytes
        self._ends = list(accumulate(map(len, parts)))

    def __len__(self) -> int:
        return self._ends[-1] + len(self._parts) - 1

    def __bytes__(self) -> bytes:
        return b",".join(self._parts)

    def __iter__(self) -> Iterator[bytes]:
        """The same bytes in pieces, each made when it is asked for."""
        parts, ends = self._parts, self._ends
        start = done = 0
        while start < len(parts):
            stop = max(start + 1, bisect_right(ends, done + self._piece_bytes, start))
            piece = parts[start:stop]
            if stop < len(parts):
                piece.append(b"")  # for the comma behind it
            yield b",".join(piece)
            start, done = stop, ends[stop - 1]
