"""Drivers are found by their folder."""

import pytest

from isthmus import drivers
from isthmus.errors import InvalidSpec


def test_an_unknown_driver_names_the_known_ones():
    with pytest.raises(InvalidSpec, match=r"spec\.driver: no driver 'nowhere'; there are:"):
        drivers.load("nowhere")


@pytest.mark.parametrize("name", sorted(drivers.names()))
def test_every_folder_holds_the_driver_of_its_name(name):
    assert drivers.load(name).name == name
