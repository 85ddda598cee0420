"""What a Stack was rendered from, noted on the Stack itself.

So a claim knows, without any memory of its own, which revision it has and which values it may
no longer change.
"""

from dataclasses import dataclass, field

import orjson

from isthmus.api.meta import GROUP, Json
from isthmus.api.v1alpha1 import AnyClaim, Stack

RENDERED_FROM = f"{GROUP}/rendered-from"
"""Annotation on a Stack: JSON of ``Rendered``. Secret values are references in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """The origin of a Stack."""

    offering: str
    revision: str
    plan: str
    generation: int
    """Of the claim."""
    values: Json = field(default_factory=dict[str, object])
    """Of every parameter."""


def rendered_from(stack: Stack) -> Rendered | None:
    """Read the note; None on a Stack that no claim made."""
    text = stack.metadata.annotations.get(RENDERED_FROM)
    return Rendered(**orjson.loads(text)) if text else None


def note_origin(stack: Stack, claim: AnyClaim, revision: str, values: Json) -> Stack:
    """Return the Stack with the note on it."""
    origin = Rendered(
        offering=claim.spec.offering,
        revision=revision,
        plan=claim.spec.plan,
        generation=claim.metadata.generation,
        values=values,
    )
    text = orjson.dumps(origin, option=orjson.OPT_SORT_KEYS).decode()
    annotations = stack.metadata.annotations | {RENDERED_FROM: text}
    metadata = stack.metadata.model_copy(update={"annotations": annotations})
    return stack.model_copy(update={"metadata": metadata})
