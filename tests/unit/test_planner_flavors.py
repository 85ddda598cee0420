"""The flavors of control planes: never two in one step, and always an end."""

from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.planner.flavors import flavors_of, one_more, to_have

NAMES = st.sampled_from(["s", "m", "l"])


@given(st.lists(NAMES, min_size=1, max_size=5), NAMES)
def test_each_step_changes_one_until_all_are_as_wanted(flavors: list[str], wanted: str):
    now = tuple(flavors)
    for _ in flavors:
        after = one_more(now, wanted)
        changed = [a for a, b in zip(now, after, strict=True) if a != b]
        assert len(changed) == (0 if set(now) == {wanted} else 1)
        now = after
    assert set(now) == {wanted}


@given(st.lists(NAMES, min_size=3, max_size=3), NAMES, st.booleans())
def test_an_edit_changes_one_at_most(flavors: list[str], wanted: str, calm: bool):
    former = {"controlPlaneReplicas": 3, "flavor": "s", "controlFlavors": flavors}
    after = to_have(former, former | {"flavor": wanted}, calm=calm)
    changed = sum(a != b for a, b in zip(flavors, after, strict=True))
    assert changed <= (1 if calm else 0)


def test_a_new_control_plane_is_made_as_it_is_wanted():
    wanted = {"controlPlaneReplicas": 3, "flavor": "m"}
    assert to_have({}, wanted, calm=False) == ("m", "m", "m")
    assert flavors_of(wanted) == ("m", "m", "m")


def test_one_alone_is_down_anyway():
    assert to_have({"flavor": "s"}, {"flavor": "m"}, calm=False) == ("m",)
