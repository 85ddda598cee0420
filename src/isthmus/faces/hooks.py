"""What the composition root hands to the faces, since a face knows no driver."""

from collections.abc import Callable
from dataclasses import dataclass

from isthmus.ports import Driver


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """The rooms that only ``isthmus.app`` may bring together."""

    load_driver: Callable[[str], Driver]
    """Import one driver by name."""
    driver_names: Callable[[], frozenset[str]]
    """The names of all drivers, without importing any."""
