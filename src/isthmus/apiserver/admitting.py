"""What every written object goes through: it is completed, pruned and checked, and its writer told.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#validation
"""

from collections.abc import Generator
from contextlib import contextmanager

from isthmus.apiserver import embedded
from isthmus.apiserver import metadata as meta
from isthmus.apiserver.admission import Admission, Rule
from isthmus.apiserver.errors import ApiError, Cause, invalid
from isthmus.apiserver.jsonvalues import Json, as_list
from isthmus.apiserver.ownerrefs import without_repeats
from isthmus.apiserver.preconditions import unknown_fields
from isthmus.apiserver.resources import Resource

_OMITTED_EMPTY = ("labels", "annotations", "finalizers", "ownerReferences", "managedFields")
"""Parts of metadata that an object does not have when nothing is in them."""


def admit(admission: Admission, rule: Rule | None, known_as: Resource) -> list[str]:
    """Default, prune and validate an object, in place.

    Args:
        admission: The write.
        rule: What the schema of the kind cannot say.
        known_as: The kind as refusals name it.

    Returns:
        What the caller is to be told: unknown fields, unless nobody asks, and what rules say.

    Raises:
        ApiError: 400 or 422; it has what was to be told as well.
    """
    resource, obj, options = admission.resource, admission.obj, admission.options
    metadata: Json = obj["metadata"]
    leave_out_empty(metadata)
    unknown, wrong, causes = _typed(resource, obj, admission.old)
    told = [f'duplicate field "{field}"' for field in options.duplicates]
    told += [f'unknown field "{field}"' for field in unknown]
    if told and options.validation == "Strict":
        raise unknown_fields(resource, told, patched=options.patched)
    if options.validation == "Ignore":
        told = []
    told += without_repeats(metadata)
    causes = causes or meta.check(resource, metadata)
    causes += _finalizers(admission)
    causes += wrong
    if rule is not None and not causes:
        causes += rule(admission)
    if causes:
        refusal = invalid(known_as, str(metadata.get("name") or ""), causes)
        refusal.warnings = told
        raise refusal
    return told + admission.warnings


def leave_out_empty(metadata: Json) -> None:
    """Take away, in place, parts of metadata in which there is nothing."""
    for name in _OMITTED_EMPTY:
        if name in metadata and not metadata[name]:
            del metadata[name]


def _typed(
    resource: Resource, obj: Json, old: Json | None
) -> tuple[list[str], list[Cause], list[Cause]]:
    """Unknown fields, what is wrong in the object, and what of its metadata is of no known type."""
    unknown, causes = meta.admit(resource, obj["metadata"])
    within = embedded.coerce(resource, obj)
    more, wrong = resource.schema.admit(obj, old)
    if resource.custom:
        more.sort()
    return unknown + more + within, wrong + embedded.check(resource, obj), causes


def _finalizers(admission: Admission) -> list[Cause]:
    finalizers = admission.obj["metadata"].get("finalizers")
    if not finalizers:
        return []
    old = admission.old
    before = as_list(old["metadata"].get("finalizers")) if old else []
    wrong, doubtful = meta.check_new_finalizers(admission.resource, finalizers, before)
    admission.warnings.extend(doubtful)
    return wrong


@contextmanager
def told_besides(warnings: list[str]) -> Generator[None]:
    """Let what refuses a good object after all tell its writer what else there is to be told."""
    try:
        yield
    except ApiError as error:
        error.warnings = warnings
        raise
