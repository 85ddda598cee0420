"""A small operator of kopf: it paints Widgets, and lets none go before it has stripped it."""

import kopf

_WIDGETS = ("example.com", "v1", "widgets")


@kopf.on.create(*_WIDGETS)
@kopf.on.update(*_WIDGETS)
def paint(spec, patch, **_):
    """Show the wished color in the status."""
    patch.status["painted"] = spec["color"]


@kopf.on.delete(*_WIDGETS)
def strip(**_):
    """Be asked before a Widget goes, which takes a finalizer."""
