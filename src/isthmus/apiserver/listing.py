"""Reads: one object, or a page of a list, as bytes wherever the caller takes plain JSON."""

import base64
import binascii
import operator
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from isthmus.apiserver.errors import ApiError, bad_request
from isthmus.apiserver.history import Key, Record
from isthmus.apiserver.http import not_acceptable
from isthmus.apiserver.joined import Joined
from isthmus.apiserver.jsonvalues import Json
from isthmus.apiserver.resources import Resource
from isthmus.apiserver.selectors import Selection
from isthmus.apiserver.store import Collection, Store
from isthmus.apiserver.tables import META_V1, partial, table

_OLD_TOKEN = (
    "The provided continue parameter is too old to display a consistent list result. You can start"
    " a new list without the continue parameter."
)
_OLD_VERSION = "The resourceVersion for the provided list is too old."


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of a list.

    Attributes:
        records: The objects.
        metadata: Metadata of the list: its version, and how to go on.
    """

    records: list[Record]
    metadata: Json


@dataclass(frozen=True, slots=True)
class View:
    """The form in which objects are wanted.

    Attributes:
        form: Empty for plain objects, `Table` or `Partial`.
        include: What the rows of a table carry.
        version: The `apiVersion` of the form.
    """

    form: str = ""
    include: str = "Metadata"
    version: str = META_V1

    def one(self, resource: Resource, body: bytes) -> bytes:
        """One object in this form."""
        body = resource.serve(body)
        if not self.form:
            return body
        obj: Json = orjson.loads(body)
        if self.form == "Partial":
            return orjson.dumps(partial(obj, self.version))
        metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        return orjson.dumps(self.table(resource, [obj], metadata))

    def table(
        self, resource: Resource, objects: Iterable[Json], metadata: Json, *, heads: bool = True
    ) -> Json:
        """Objects as a table."""
        found = table(resource, objects, metadata, self.include, heads=heads)
        if self.version != META_V1:
            found["apiVersion"] = self.version
            for row in found["rows"] if self.include == "Metadata" else ():
                row["object"]["apiVersion"] = self.version
        return found

    def many(self, resource: Resource, found: Page) -> bytes | Joined:
        """A list in this form."""
        serve, metadata = resource.serve, found.metadata
        # A call for each of thousands is dear; but only without a shape may the bytes be right.
        begins, plain = resource.prefix, resource.shape is None
        bodies = [
            body if (body := record.body).startswith(begins) and plain else serve(body)
            for record in found.records
        ]
        if self.form == "Table":
            objects = (orjson.loads(body) for body in bodies)
            return orjson.dumps(self.table(resource, objects, metadata))
        if self.form == "Partial":
            kind, api_version = "PartialObjectMetadataList", self.version
            bodies = [orjson.dumps(partial(orjson.loads(body), api_version)) for body in bodies]
        else:
            if resource.custom:
                metadata = {"continue": "", **metadata}
            kind, api_version = resource.list_kind or resource.kind + "List", resource.group_version
        head = {"kind": kind, "apiVersion": api_version, "metadata": metadata}
        opening = orjson.dumps(head)[:-1] + b',"items":['
        if not bodies:
            return opening + b"]}"
        bodies[0] = opening + bodies[0]
        bodies[-1] += b"]}"
        return Joined(bodies)


_PLAIN = View()
_PARTIAL = "PartialObjectMetadata"
_VERSIONS = ("v1", "v1beta1")
_INCLUDED = ("", "Metadata", "Object", "None")


def view_of(accept: str, include: str, *, many: bool | None = None) -> View:
    """The form that an Accept header asks for; the first one that is served wins.

    Args:
        accept: The header.
        include: What the rows of a table are to carry.
        many: Whether a list is asked for, or one object; None for a watch.

    Raises:
        ApiError: 406, none is served; 400, the rows of a table cannot carry that.
    """
    if "as=" not in accept:
        return _PLAIN
    for part in accept.split(","):
        kind, *parameters = (word.strip() for word in part.split(";"))
        if "json" not in kind and "yaml" not in kind and "*" not in kind:
            continue
        said = dict(word.split("=", 1) for word in parameters if "=" in word)
        form, version = said.get("as", ""), said.get("v", "")
        if not form:
            return _PLAIN
        if said.get("g") != "meta.k8s.io" or version not in _VERSIONS:
            continue
        if form == "Table":
            _check_included(include)
            return View("Table", include or "Metadata", f"meta.k8s.io/{version}")
        if form in (_PARTIAL, f"{_PARTIAL}List"):
            _check_number(form, many=many)
            return View("Partial", version=f"meta.k8s.io/{version}")
    raise not_acceptable()


def _check_included(include: str) -> None:
    if include not in _INCLUDED:
        raise bad_request(
            f'Unable to convert to Table as requested: includeObject: Invalid value: "{include}":'
            " must be 'Metadata', 'Object', 'None', or empty"
        )


def _check_number(form: str, *, many: bool | None) -> None:
    if many is not None and (form != _PARTIAL) is not many:
        found = "a list" if many else "not a list"
        why = f"you requested {form}, but the requested object is {found}"
        raise ApiError(406, "NotAcceptable", why)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list or a watch is about.

    Attributes:
        resource: The kind, in the version that the caller speaks.
        namespace: Where, None for everywhere.
        selection: Which objects.
        view: In what form.
    """

    resource: Resource
    namespace: str | None
    selection: Selection
    view: View


def page(store: Store, wanted: Wanted, query: dict[str, str], limit: int) -> Page:
    """The objects of one page; every page shows the state of the first.

    Raises:
        ApiError: 410, the first page is too old; 400, the parameters make no sense.
    """
    collection, selection = store.collection(wanted.resource.collection), wanted.selection
    version, after, overlay = _moment(store, collection, query)
    keys, span = _keys(collection, wanted, overlay)
    if after is not None:
        span = range(max(span.start, bisect_right(keys, after)), span.stop)
    present = _present(collection, map(keys.__getitem__, span), overlay)
    if not selection.everything:
        present = filter(selection.fits, present)
    found = list(islice(present, limit or None))
    metadata: Json = {"resourceVersion": str(version)}
    if limit and next(present, None) is not None:
        metadata["continue"] = _token(version, found[-1].key)
        if selection.everything:
            more = 1 + sum(1 for _ in present) if overlay else len(span) - limit
            metadata["remainingItemCount"] = more
    return Page(found, metadata)


def _present(
    collection: Collection, keys: Iterator[Key], overlay: dict[Key, Record | None]
) -> Iterator[Record]:
    """The objects of these keys, as they are or as they were."""
    now = collection.records.get
    if not overlay:
        return filter(None, map(now, keys))
    return filter(None, (overlay[key] if key in overlay else now(key) for key in keys))


def _moment(
    store: Store, collection: Collection, query: dict[str, str]
) -> tuple[int, Key | None, dict[Key, Record | None]]:
    """Of which version a list is, after which key it goes on, and what was different then."""
    if query.get("continue"):
        version, after = _open_token(query["continue"])
        if version > store.version:  # It was given before a backup was restored.
            raise ApiError(410, "Expired", _OLD_TOKEN)
        return version, after, _past(collection, version, _OLD_TOKEN)
    exact = wanted_version(query, store.version)
    if exact is None:
        return store.version, None, {}
    return exact, None, _past(collection, exact, _OLD_VERSION)


def _keys(
    collection: Collection, wanted: Wanted, overlay: dict[Key, Record | None]
) -> tuple[Sequence[Key], range]:
    """Keys in order, and which of them are asked for: nothing is copied for a page of many."""
    namespace, name = wanted.namespace, wanted.selection.name
    if not wanted.resource.namespaced:
        namespace = ""
    if name is not None and namespace is not None and not overlay:
        return [(namespace, name)], range(1)
    lost = [key for key in overlay if key not in collection.records]
    if not lost:
        return collection.keys, collection.span(namespace)
    keys = collection.within(namespace)
    keys = sorted((*keys, *(key for key in lost if namespace in (None, key[0]))))
    return keys, range(len(keys))


def _past(collection: Collection, version: int, refusal: str) -> dict[Key, Record | None]:
    """What objects were at `version` where they are not that any more."""
    events = collection.history.since(version)
    if events is None:
        raise ApiError(410, "Expired", refusal)
    before = {event.record.key: event for event in reversed(events)}
    return {key: collection.before(event) for key, event in before.items()}


def wanted_version(query: dict[str, str], newest: int) -> int | None:
    """The version of which exactly a list is wanted; None is now, which is never too old.

    Raises:
        ApiError: 504, the version is yet to come; 400, it is no number.
    """
    asked = query.get("resourceVersion", "")
    if not asked or asked == "0":
        return None
    if not is_version(asked):
        raise bad_request(
            f'invalid resource version: resourceVersion: Invalid value: "{asked[:64]}":'
            f' strconv.ParseUint: parsing "{asked[:64]}": invalid syntax'
        )
    version = int(asked)
    if version > newest:
        error = ApiError(
            504, "Timeout", f"Timeout: Too large resource version: {version}, current: {newest}"
        )
        cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
        error.details = {"causes": [cause], "retryAfterSeconds": 1}
        raise error
    limited = query.get("limit") and not query.get("resourceVersionMatch")
    return version if query.get("resourceVersionMatch") == "Exact" or limited else None


def is_version(text: str) -> bool:
    """Whether a text may be a resourceVersion: a number of at most 64 bits."""
    return text.isascii() and text.isdecimal() and len(text) < 20


def _token(version: int, key: Key) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([version, *key])).decode()


def _open_token(text: str) -> tuple[int, Key]:
    try:
        value: Any = orjson.loads(base64.urlsafe_b64decode(text))
        version, namespace, name = value
        return operator.index(version), (str(namespace), str(name))
    except (ValueError, TypeError, binascii.Error) as error:
        raise bad_request(f"invalid continue token: continue key is not valid: {error}") from error
