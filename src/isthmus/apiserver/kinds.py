"""The kinds of Kubernetes that are built in, with the schemas that validate and explain them.

Fields and merge rules follow https://kubernetes.io/docs/reference/kubernetes-api/; kinds that only
make sense with nodes and pods are not served.
"""

from isthmus.apiserver import formats
from isthmus.apiserver.fields import STRUCT
from isthmus.apiserver.jsonvalues import Json
from isthmus.apiserver.resources import AGE, ALL_VERBS, Column, Resource
from isthmus.apiserver.schema import Schema
from isthmus.apiserver.shapes import Shape

STRING: Json = {"type": "string"}
INTEGER: Json = {"type": "integer"}
BOOLEAN: Json = {"type": "boolean"}
TIME: Json = {"type": "string", "nullable": True}
EVENTS = "events.k8s.io"
RBAC = "rbac.authorization.k8s.io"
EXTENSIONS = "apiextensions.k8s.io"
CRD_COLLECTION = f"{EXTENSIONS}/customresourcedefinitions"
NAMESPACE_COLLECTION = "/namespaces"
SECRET_COLLECTION = "/secrets"
EVENT_COLLECTION = "/events"
LEASE_COLLECTION = "coordination.k8s.io/leases"
QUOTA_COLLECTION = "/resourcequotas"
FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
"""Finalizers that say what becomes of dependents."""
STATUS = frozenset(("status",))


def _object(**properties: Json) -> Json:
    return {"type": "object", "properties": properties}


def _struct(**properties: Json) -> Json:
    """An object that is there in Go whatever is said of it."""
    return {**_object(**properties), STRUCT: "object"}


def _map(value: Json) -> Json:
    return {"type": "object", "nullable": True, "additionalProperties": value}


def _list(items: Json) -> Json:
    """A list that is replaced as a whole."""
    return {"type": "array", "nullable": True, "items": items, "x-kubernetes-list-type": "atomic"}


def _by(items: Json, key: str) -> Json:
    """A list whose entries have their own owners, told apart by a key."""
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
    return {"type": "array", "nullable": True, "items": items, **keyed}


def _about(text: str, schema: Json) -> Json:
    return {**schema, "description": text}


_BYTES: Json = {"type": "string", "format": "byte"}
_REFERENCE: Json = {
    **_object(
        apiVersion=STRING, kind=STRING, namespace=STRING, name=STRING, uid=STRING,
        resourceVersion=STRING, fieldPath=STRING,
    ),
    "x-kubernetes-map-type": "atomic",
}  # fmt: skip
_STRINGS = _list(STRING)
_CONDITION = _object(
    type=STRING, status=STRING, lastTransitionTime=TIME, reason=STRING, message=STRING
)
_RULE: Json = {
    **_object(
        apiGroups=_about("API groups of the resources; * is every group.", _STRINGS),
        resources=_about("Resources, also as resource/subresource; * is every one.", _STRINGS),
        resourceNames=_about("Names to which the rule is limited; empty is every name.", _STRINGS),
        verbs=_about("What may be done; * is everything.", _STRINGS),
        nonResourceURLs=_about("Paths outside of resources; a final * is a wildcard.", _STRINGS),
    ),
    "required": ["verbs"],
}
_SUBJECT: Json = {
    **_object(kind=STRING, apiGroup=STRING, name=STRING, namespace=STRING),
    "required": ["kind", "name"],
    "x-kubernetes-map-type": "atomic",
}
_RULES: Json = {**_list(_RULE), STRUCT: "array"}
_ROLE = _about("Role is a set of rules for one namespace.", _object(rules=_RULES))
_CLUSTER_ROLE = _about(
    "ClusterRole is a set of rules for every namespace and for cluster-scoped resources.",
    _object(rules=_RULES, aggregationRule={"type": "object", "nullable": True,
            "x-kubernetes-preserve-unknown-fields": True}),
)  # fmt: skip
_BINDING = _about(
    "It grants the rules of a role to users, groups and service accounts.",
    {
        **_object(
            subjects=_list(_SUBJECT),
            roleRef={
                **_object(apiGroup=STRING, kind=STRING, name=STRING),
                "required": ["kind", "name"],
                "x-kubernetes-map-type": "atomic",
            },
        ),
        "required": ["roleRef"],
    },
)
_EVENT = _about(
    "Event is a report that something happened to an object.",
    _object(
        involvedObject=_REFERENCE, reason=STRING, message=STRING,
        source=_struct(component=STRING, host=STRING),
        firstTimestamp=TIME, lastTimestamp=TIME, count=INTEGER, type=STRING, eventTime=TIME,
        series={**_object(count=INTEGER, lastObservedTime=TIME), "nullable": True},
        action=STRING, related={**_REFERENCE, "nullable": True},
        reportingComponent=STRING, reportingInstance=STRING,
    ),
)  # fmt: skip
_LEASE = _about(
    "Lease says who holds something, such as leadership, and until when.",
    _object(
        spec=_struct(
            holderIdentity=STRING, leaseDurationSeconds=INTEGER, acquireTime=TIME, renewTime=TIME,
            leaseTransitions=INTEGER, strategy=STRING, preferredHolder=STRING,
        )
    ),
)  # fmt: skip
_NAMES: Json = {
    **_struct(
        plural=STRING, singular=STRING, kind=STRING, listKind=STRING, shortNames=_STRINGS,
        categories=_STRINGS,
    ),
    "required": ["plural", "kind"],
}  # fmt: skip
_CRD_VERSION: Json = {
    **_object(
        name=STRING, served=BOOLEAN, storage=BOOLEAN, deprecated=BOOLEAN, deprecationWarning=STRING,
        schema=_object(
            openAPIV3Schema={"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        ),
        subresources={
            **_object(
                status={"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                scale={
                    **_object(
                        specReplicasPath=STRING, statusReplicasPath=STRING, labelSelectorPath=STRING
                    ),
                    "required": ["specReplicasPath", "statusReplicasPath"],
                },
            ),
            "nullable": True,
        },
        additionalPrinterColumns=_list({
            **_object(name=STRING, type=STRING, jsonPath=STRING, description=STRING, format=STRING,
                      priority=INTEGER),
            "required": ["name", "type", "jsonPath"],
        }),
        selectableFields=_list({**_object(jsonPath=STRING), "required": ["jsonPath"]}),
    ),
    "required": ["name", "served", "storage"],
}  # fmt: skip
_CRD = _about(
    "CustomResourceDefinition declares a kind that the API then serves.",
    {
        **_object(
            spec={
                **_struct(
                    group=STRING, names=_NAMES,
                    scope={"type": "string", "enum": ["Cluster", "Namespaced"]},
                    versions=_list(_CRD_VERSION),
                    conversion={"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    preserveUnknownFields=BOOLEAN,
                ),
                "required": ["group", "names", "scope", "versions"],
            },
            status=_struct(
                acceptedNames=_struct(**_NAMES["properties"]), storedVersions=_STRINGS,
                conditions=_by(
                    {
                        **_object(**_CONDITION["properties"], observedGeneration=INTEGER),
                        "required": ["type", "status"],
                    },
                    "type",
                ),
                observedGeneration=INTEGER,
            ),
        ),
        "required": ["spec"],
    },
)  # fmt: skip
_QUANTITY: Json = {"x-kubernetes-int-or-string": True}
_QUOTA = _about(
    "ResourceQuota limits how many objects a namespace may have.",
    _object(
        spec=_struct(
            hard=_about("Limits by name, such as count/configmaps.", _map(_QUANTITY)),
            scopes=_STRINGS,
            scopeSelector={"type": "object", "nullable": True,
                           "x-kubernetes-preserve-unknown-fields": True},
        ),
        status=_struct(hard=_map(STRING), used=_map(STRING)),
    ),
)  # fmt: skip
_EVENT_FIELDS = frozenset((
    "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
    "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath",
    "reason", "type", "source", "reportingComponent",
))  # fmt: skip
_EVENT_NAMES = {
    "regarding": "involvedObject", "note": "message", "reportingController": "reportingComponent",
    "deprecatedSource": "source", "deprecatedCount": "count",
    "deprecatedFirstTimestamp": "firstTimestamp", "deprecatedLastTimestamp": "lastTimestamp",
}  # fmt: skip
"""Fields of events.k8s.io, and what they are called in the core group."""
_EVENT_ALWAYS: Json = {
    "source": {}, "firstTimestamp": None, "lastTimestamp": None, "eventTime": None,
    "reportingComponent": "", "reportingInstance": "",
}  # fmt: skip
_MODERN_EVENT_FIELDS = frozenset((
    "regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid",
    "regarding.apiVersion", "regarding.resourceVersion", "regarding.fieldPath",
    "reason", "type", "reportingController",
))  # fmt: skip


def _core() -> list[Resource]:
    data = Column("Data", "integer", "#.data")
    return [
        Resource(
            "", "v1", "namespaces", "Namespace",
            Schema(_about("Namespace is a scope for names and rights.", _object(
                spec=_struct(finalizers=_STRINGS),
                status=_struct(phase=STRING, conditions=_by(_CONDITION, "type"))))),
            namespaced=False, short_names=("ns",), subresources=frozenset(("status", "finalize")),
            columns=(Column("Status", "string", ".status.phase"), AGE),
            selectable=frozenset(("status.phase",)),
            verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
        ),
        Resource(
            "", "v1", "secrets", "Secret",
            Schema(_about("Secret holds data that few may see; encrypted at rest.", _object(
                type=STRING, immutable={**BOOLEAN, "nullable": True},
                data={**_map(_BYTES), "writeOnly": True},
                stringData={**_map(STRING), "writeOnly": True,
                            "description": "Plain text that is merged into data on writing."})),
                known=formats.BUILT_IN),
            columns=(Column("Type", "string", ".type"), data, AGE), selectable=frozenset(("type",)),
        ),
        Resource(
            "", "v1", "configmaps", "ConfigMap",
            Schema(_about("ConfigMap holds configuration as keys and values.", _object(
                data=_map(STRING), binaryData=_map(_BYTES),
                immutable={**BOOLEAN, "nullable": True})), known=formats.BUILT_IN),
            short_names=("cm",), columns=(data, AGE),
        ),
        Resource(
            "", "v1", "resourcequotas", "ResourceQuota", Schema(_QUOTA), short_names=("quota",),
            subresources=STATUS,
            columns=(
                Column("Request", "string", "%requests"), Column("Limit", "string", "%limits"), AGE,
            ),
        ),
        Resource(
            "", "v1", "serviceaccounts", "ServiceAccount",
            Schema(_about("ServiceAccount is an identity for programs.", _object(
                secrets=_by(_REFERENCE, "name"), imagePullSecrets=_list(_object(name=STRING)),
                automountServiceAccountToken={**BOOLEAN, "nullable": True}))),
            short_names=("sa",), subresources=frozenset(("token",)),
            columns=(Column("Secrets", "integer", "#.secrets"), AGE),
        ),
    ]  # fmt: skip


def _events() -> list[Resource]:
    """Events in both groups: the same objects."""
    columns = (
        Column("Last Seen", "date", "!last"), Column("Type", "string", ".type"),
        Column("Reason", "string", ".reason"), Column("Object", "string", "!object"),
        Column("Subobject", "string", ".involvedObject.fieldPath", 1),
        Column("Source", "string", "!source", 1), Column("Message", "string", "!message"),
        Column("First Seen", "date", "!first", 1), Column("Count", "integer", "!count", 1),
        Column("Name", "string", ".metadata.name", 1, "name"),
    )  # fmt: skip
    source = {"source": ("source.component", "reportingComponent")}
    core = Shape(EVENT_COLLECTION, always=_EVENT_ALWAYS, paths=source)
    modern = Shape(EVENT_COLLECTION, _EVENT_NAMES, _EVENT_ALWAYS)
    return [
        Resource(
            "", "v1", "events", "Event", Schema(_EVENT), short_names=("ev",), columns=columns,
            selectable=_EVENT_FIELDS, upsert=True, shape=core,
        ),
        Resource(
            EVENTS, "v1", "events", "Event", Schema(modern.schema(_EVENT)), short_names=("ev",),
            columns=columns, selectable=_MODERN_EVENT_FIELDS, upsert=True, shape=modern,
            storage=False,
        ),
    ]  # fmt: skip


def _rbac() -> list[Resource]:
    made = (Column("Created At", "string", ".metadata.creationTimestamp"),)
    subjects = ("User", "Group", "ServiceAccount")
    bound = (
        Column("Role", "string", "@roleRef"),
        AGE,
        *(Column(f"{kind}s", "string", f"~{kind}", 1) for kind in subjects),
    )
    role, cluster_role, binding = Schema(_ROLE), Schema(_CLUSTER_ROLE), Schema(_BINDING)
    return [
        Resource(RBAC, "v1", "roles", "Role", role, columns=made, upsert=True),
        Resource(RBAC, "v1", "rolebindings", "RoleBinding", binding, columns=bound, upsert=True),
        Resource(RBAC, "v1", "clusterroles", "ClusterRole", cluster_role, namespaced=False,
                 columns=made, upsert=True),
        Resource(RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", binding,
                 namespaced=False, columns=bound, upsert=True),
    ]  # fmt: skip


def builtin_resources() -> list[Resource]:
    """Every resource that is served without a CustomResourceDefinition."""
    return [
        *_core(),
        *_events(),
        Resource("coordination.k8s.io", "v1", "leases", "Lease", Schema(_LEASE),
                 columns=(Column("Holder", "string", ".spec.holderIdentity"), AGE), upsert=True),
        *_rbac(),
        Resource(EXTENSIONS, "v1", "customresourcedefinitions", "CustomResourceDefinition",
                 Schema(_CRD), namespaced=False, short_names=("crd", "crds"), subresources=STATUS,
                 categories=("api-extensions",),
                 columns=(Column("Created At", "string", ".metadata.creationTimestamp"),)),
    ]  # fmt: skip
