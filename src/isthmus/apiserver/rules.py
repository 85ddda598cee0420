"""Rules of the built-in kinds that a schema cannot say."""

from collections.abc import Callable

from isthmus.apiserver import crdchecks, crds, events, namespaces, quotas, rbacrules, secretrules
from isthmus.apiserver.admission import Admission, Rule
from isthmus.apiserver.crdnames import Claims
from isthmus.apiserver.errors import Cause
from isthmus.apiserver.jsonvalues import as_map
from isthmus.apiserver.kinds import (
    CRD_COLLECTION,
    EVENT_COLLECTION,
    LEASE_COLLECTION,
    NAMESPACE_COLLECTION,
    QUOTA_COLLECTION,
    RBAC,
    SECRET_COLLECTION,
)
from isthmus.apiserver.metadata import timestamp


def _definition(admission: Admission, claimed: Callable[[str], Claims]) -> list[Cause]:
    if admission.options.subresource == "status":
        return []
    obj, old = admission.obj, admission.old
    crds.prepare(obj, old, claimed(obj["spec"]["group"]), timestamp())
    known = set(crdchecks.unknown_formats(old)) if old else set[str]()
    new = [name for name in crdchecks.unknown_formats(obj) if name not in known]
    admission.warnings.extend(f'unrecognized format "{name}"' for name in new)
    return crdchecks.check(obj, old)


def _lease(admission: Admission) -> list[Cause]:
    spec = as_map(admission.obj.get("spec"))
    causes: list[Cause] = []
    seconds, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if isinstance(seconds, int) and seconds <= 0:
        causes.append(Cause("spec.leaseDurationSeconds", f"{seconds}: must be greater than 0"))
    if isinstance(transitions, int) and transitions < 0:
        why = f"{transitions}: must be greater than or equal to 0"
        causes.append(Cause("spec.leaseTransitions", why))
    return causes


def builtin_rules(
    may_grant: Callable[[Admission], list[Cause]], claimed: Callable[[str], Claims]
) -> dict[str, Rule]:
    """The rules by collection.

    Args:
        may_grant: Refuses roles and bindings that give more than the caller has.
        claimed: The names that definitions of a group have.
    """

    def role(admission: Admission) -> list[Cause]:
        return rbacrules.check_role(admission) or may_grant(admission)

    def binding(admission: Admission) -> list[Cause]:
        return rbacrules.check_binding(admission) or may_grant(admission)

    return {
        NAMESPACE_COLLECTION: namespaces.check,
        SECRET_COLLECTION: secretrules.check_secret,
        "/configmaps": secretrules.check_config_map,
        EVENT_COLLECTION: events.check,
        LEASE_COLLECTION: _lease,
        CRD_COLLECTION: lambda admission: _definition(admission, claimed),
        QUOTA_COLLECTION: quotas.check,
        f"{RBAC}/roles": role,
        f"{RBAC}/clusterroles": role,
        f"{RBAC}/rolebindings": binding,
        f"{RBAC}/clusterrolebindings": binding,
    }
