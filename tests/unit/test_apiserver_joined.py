"""Long bodies in pieces: the same bytes as in one, whatever the parts."""

from hypothesis import given
from hypothesis import strategies as st

from isthmus.apiserver.joined import PIECE_BYTES, Joined


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=60), st.integers(1, 50))
def test_the_pieces_are_the_whole(parts: list[bytes], most: int) -> None:
    body = Joined(parts, most)

    assert b"".join(body) == bytes(body) == b",".join(parts)
    assert len(body) == len(bytes(body))


def test_no_piece_is_longer_than_wanted_but_for_a_part_that_is() -> None:
    for size in (10, 100, 10_000):
        commas = 1 + PIECE_BYTES // size
        body = Joined([b"x" * size] * (1_000_000 // size))
        assert max(map(len, body)) <= PIECE_BYTES + commas
    assert list(map(len, Joined([b"x" * 1_000_000] * 3))) == [1_000_001, 1_000_001, 1_000_000]
