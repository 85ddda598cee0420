"""Stacks of manifests, for tests of the Kubernetes driver's engine."""

import uuid
from dataclasses import replace
from typing import Any

from isthmus.api.meta import Json
from isthmus.core.stacks import (
    TAG_INSTALLATION,
    TAG_NAME,
    TAG_NAMESPACE,
    TAG_UID,
    NativeStack,
    StackName,
    digest,
)


def a_stack(*manifests: Any, outputs: Json | None = None, **more: Any) -> NativeStack:
    """A stack of its own owner; ``more`` are other fields of it."""
    uid = str(uuid.uuid4())
    tags = {TAG_UID: uid, TAG_NAMESPACE: "team-a", TAG_NAME: "web", TAG_INSTALLATION: "test"}
    native = NativeStack(name=StackName(f"isthmus-web-{uid}"), template={}, tags=tags, **more)
    return changed(native, *manifests, outputs=outputs)


def changed(native: NativeStack, *manifests: Any, outputs: Json | None = None) -> NativeStack:
    """The same stack, of other manifests."""
    template = {"manifests": list(manifests)} | ({"outputs": outputs} if outputs else {})
    return replace(native, template=template, digest=digest(template))
