"""What `/metrics` says of the API itself, in Prometheus' text format.

Names and labels are Kubernetes', so that dashboards made for a kube-apiserver show this one too.
The format is small enough to be written here, and a library for it is not needed.

Source: https://kubernetes.io/docs/reference/instrumentation/metrics/
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from isthmus.apiserver import reviews
from isthmus.apiserver.errors import ApiError
from isthmus.apiserver.resources import Registry
from isthmus.apiserver.store import Collection, Store
from isthmus.apiserver.targets import Target

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
BOUNDS = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)
"""Upper bounds of the histogram's buckets, in seconds."""
_VERBS = {"create": "POST", "update": "PUT"}
_REQUEST = ("verb", "group", "version", "resource", "subresource", "scope")
_Series = tuple[str, ...]


class Metric(NamedTuple):
    """One metric.

    Attributes:
        name: Its name.
        type: `counter`, `gauge` or `histogram`.
        words: What it tells.
        labels: Names of its labels.
    """

    name: str
    type: str
    words: str
    labels: tuple[str, ...] = ()


_REQUESTS = Metric(
    "apiserver_request_total", "counter", "Requests that were answered; a watch when it ends.",
    (*_REQUEST, "code"),
)  # fmt: skip
_SECONDS = Metric(
    "apiserver_request_duration_seconds", "histogram", "Time of one request but a watch.", _REQUEST
)
_WATCHES = Metric(
    "apiserver_longrunning_requests", "gauge", "Open watches.", ("verb", "group", "resource")
)
_OBJECTS = Metric("apiserver_resource_objects", "gauge", "Stored objects.", ("group", "resource"))
METRICS = (_REQUESTS, _SECONDS, _WATCHES, _OBJECTS)
"""Everything that is told."""


class _Times:
    """A histogram's one series."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0


class Metrics:
    """Counts requests, and looks at the store when it is asked.

    Args:
        store: Whose objects and watchers are counted.
        registry: What is served. Requests for anything else are counted without its name, for
            callers could make as many series as they like by it.
    """

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry
        self._counts: dict[_Series, int] = {}
        self._times: dict[_Series, _Times] = {}

    def observe(self, verb: str, target: Target | None, code: int, seconds: float) -> None:
        """Count an answered request.

        Args:
            verb: Kubernetes' verb; empty for paths that are no resources, which are not counted.
            target: What it was about.
            code: With which HTTP status it was answered.
            seconds: How long it took.
        """
        if target is None or not verb:
            return
        series = _series(verb, target)
        if series not in self._times:
            series = self._known(series, target)
        counted = (*series, str(code))
        self._counts[counted] = self._counts.get(counted, 0) + 1
        times = self._times[series]
        if verb != "watch":
            times.buckets[bisect_left(BOUNDS, seconds)] += 1
            times.seconds += seconds

    def _known(self, series: _Series, target: Target) -> _Series:
        """The series under which a request is counted that was not seen before."""
        if not self._is_served(target):
            series = (series[0], *[""] * (len(series) - 1))
        self._times.setdefault(series, _Times())
        return series

    def _is_served(self, target: Target) -> bool:
        if reviews.find(target.group, target.version, target.plural):
            return not target.subresource
        try:
            resource = self._registry.get(target.group, target.version, target.plural)
        except ApiError:
            return False
        return not target.subresource or target.subresource in resource.subresources

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        rows = {
            _REQUESTS: (_row(_REQUESTS, series, n) for series, n in self._counts.items()),
            _SECONDS: self._durations(),
            _WATCHES: self._watches(),
            _OBJECTS: self._objects(),
        }
        lines: list[str] = []
        for metric, found in rows.items():
            lines += [f"# HELP {metric.name} {metric.words}", f"# TYPE {metric.name} {metric.type}"]
            lines += found
        return ("\n".join(lines) + "\n").encode()

    def _durations(self) -> Iterator[str]:
        name = _SECONDS.name
        bucket = _SECONDS._replace(name=f"{name}_bucket", labels=(*_SECONDS.labels, "le"))
        bounds = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")
        for series, times in self._times.items():
            below = tuple(accumulate(times.buckets))
            if not below[-1]:
                continue
            for bound, count in zip(bounds, below, strict=True):
                yield _row(bucket, (*series, bound), count)
            yield _row(_SECONDS._replace(name=f"{name}_sum"), series, times.seconds)
            yield _row(_SECONDS._replace(name=f"{name}_count"), series, below[-1])

    def _watches(self) -> Iterator[str]:
        for collection in self._store.collections():
            served = self._registry.stored(collection.name) is not None
            if served and (watchers := collection.history.watchers):
                yield _row(_WATCHES, ("WATCH", *_named(collection)), watchers)

    def _objects(self) -> Iterator[str]:
        for collection in self._store.collections():
            if self._registry.stored(collection.name) is not None:
                yield _row(_OBJECTS, _named(collection), len(collection.records))


def _series(verb: str, target: Target) -> _Series:
    scope = "resource" if target.name else "namespace" if target.namespace else "cluster"
    return (
        _VERBS.get(verb) or verb.upper(),
        target.group,
        target.version,
        target.plural,
        target.subresource,
        scope,
    )


def _named(collection: Collection) -> tuple[str, str]:
    group, _, plural = collection.name.rpartition("/")
    return group, plural


def _row(metric: Metric, series: _Series, value: float) -> str:
    # No value of a label needs an escape: all are names of what is served, or numbers.
    labels = ",".join(f'{n}="{v}"' for n, v in zip(metric.labels, series, strict=True))
    return f"{metric.name}{{{labels}}} {value:.10g}"
