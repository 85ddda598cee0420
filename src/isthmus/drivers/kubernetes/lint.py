"""Check a template offline: its form, its ids, what its outputs read, where secrets may stand."""

from isthmus.api.meta import Json
from isthmus.core.stacks import NativeStack, StackName
from isthmus.drivers.kubernetes import manifests
from isthmus.errors import InvalidSpec
from isthmus.ports import Finding

_RULE = "kubernetes-template"


def check(template: Json) -> tuple[Finding, ...]:
    """Return what is wrong; paths are relative to the template."""
    try:
        objects = manifests.read(template)
    except InvalidSpec as exc:
        return (_finding(exc),)
    kinds = {manifests.identify(obj): str(obj["kind"]) for obj in objects}
    nothing = NativeStack(
        name=StackName("lint"),
        template=template,
        parameters=dict.fromkeys(manifests.parameters(template), ""),
    )
    try:
        manifests.check_outputs(template, nothing, kinds)
    except InvalidSpec as exc:
        return (_finding(exc),)
    return ()


def _finding(error: InvalidSpec) -> Finding:
    path, _, words = error.message.partition(": ")
    return Finding(path=path.removeprefix("template."), message=words, rule=_RULE)
