"""Small stacks of Heat, for tests of the OpenStack engine."""

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
from isthmus.ports import Endpoint

NET: Json = {"type": "OS::Neutron::Net"}


def hot(resources: Json, **sections: Any) -> Json:
    """A template of these resources."""
    return {"heat_template_version": "2021-04-16", "resources": resources} | sections


def stack_of(endpoint: Endpoint, template: Json, **changes: Any) -> NativeStack:
    """A new stack, of an object of its own."""
    uid = str(uuid.uuid4())
    return NativeStack(
        name=StackName(f"isthmus-heat-{uid}"),
        template=template,
        digest=digest(template),
        tags={
            TAG_UID: uid,
            TAG_NAMESPACE: "team-a",
            TAG_NAME: "a" * 100,
            TAG_INSTALLATION: endpoint.installation,
        },
        **changes,
    )


def with_template(native: NativeStack, template: Json, **changes: Any) -> NativeStack:
    """The stack as it is to become."""
    return replace(native, template=template, digest=digest(template, str(changes)), **changes)
