"""Drift of fields that others may change is not reported."""

import pytest

from isthmus.api.v1alpha1 import Drift
from isthmus.core.stacks import unignored


@pytest.mark.parametrize(
    ("found", "ignored", "kept"),
    [
        (("C.Properties.Size",), (), ("C.Properties.Size",)),
        (("C.Properties.Size",), ("Resources.C.Properties.Size",), ()),
        (
            ("C.Properties.Tags.0", "Q (deleted)"),
            ("Resources.C.Properties.Tags",),
            ("Q (deleted)",),
        ),
        (("C.Properties.Sizes",), ("Resources.C.Properties.Size",), ("C.Properties.Sizes",)),
        (("C.Properties.Size",), ("Resources",), ("C.Properties.Size",)),
    ],
)
def test_ignored_fields_do_not_drift(found, ignored, kept):
    drift = unignored(Drift(drifted=True, resources=found), ignored)
    assert (drift.resources, drift.drifted) == (kept, bool(kept))


def test_a_drift_without_details_stays():
    assert unignored(Drift(drifted=True), ("Resources.C",)).drifted
