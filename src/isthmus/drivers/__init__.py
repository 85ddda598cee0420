"""One folder a cloud. A folder is a driver: nothing else lists it.

A distribution of its own may add one through the entry-point group ``isthmus.drivers``.
"""

import importlib
import pkgutil
from importlib.metadata import entry_points

from isthmus.errors import InvalidSpec
from isthmus.ports import Driver

GROUP = "isthmus.drivers"


def names() -> frozenset[str]:
    """Return the names of all drivers, importing none of them."""
    ours = {m.name.replace("_", "-") for m in pkgutil.iter_modules(__path__) if m.ispkg}
    theirs = {point.name for point in entry_points(group=GROUP)}
    if clash := ours & theirs:
        raise ValueError(f"two drivers are named {sorted(clash)}")
    return frozenset(ours | theirs)


def load(name: str) -> Driver:
    """Import one driver, and with it that cloud's SDK.

    Raises:
        InvalidSpec: There is no such driver, or its SDK is not installed.
    """
    for point in entry_points(group=GROUP, name=name):
        return point.load()
    if name not in names():
        raise InvalidSpec(
            f"spec.driver: no driver {name!r}; there are: {', '.join(sorted(names()))}."
        )
    try:
        module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    except ModuleNotFoundError as exc:
        raise InvalidSpec(
            f"spec.driver: driver {name!r} needs the Python package {exc.name!r}; "
            f"install isthmus[{name}]."
        ) from exc
    driver: Driver = module.DRIVER
    if driver.name != name:
        raise ValueError(f"folder {name!r} holds a driver that calls itself {driver.name!r}")
    return driver
