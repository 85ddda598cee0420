"""Numbers and names of the protobuf fields in which kubectl writes built-in kinds.

Facts from the `generated.proto` files of https://github.com/kubernetes/api and
https://github.com/kubernetes/apimachinery. A type is a scalar's name or another message; `[]` and
`{}` before it mean repeated and map of strings. A kind of which there are two has its group before.
"""

Message = dict[int, tuple[str, str]]


def _fields(*pairs: str, start: int = 1) -> Message:
    """Consecutive fields, written `name:type`; a name alone is a string."""
    out: Message = {}
    for number, pair in enumerate(pairs, start):
        name, _, kind = pair.partition(":")
        out[number] = (name, kind or "string")
    return out


_OBJECT: Message = {1: ("metadata", "ObjectMeta")}
_REVIEW: Message = {**_OBJECT}

MESSAGES: dict[str, Message] = {
    "ObjectMeta": {
        **_fields(
            "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion",
            "generation:int", "creationTimestamp:Time", "deletionTimestamp:Time",
            "deletionGracePeriodSeconds:int", "labels:{}string", "annotations:{}string",
            "ownerReferences:[]OwnerReference", "finalizers:[]string",
        ),
        17: ("managedFields", "[]ManagedFieldsEntry"),
    },
    "OwnerReference": {
        1: ("kind", "string"),
        **_fields(
            "name", "uid", "apiVersion", "controller:bool", "blockOwnerDeletion:bool", start=3
        ),
    },
    "ManagedFieldsEntry": {
        **_fields("manager", "operation", "apiVersion", "time:Time"),
        **_fields("fieldsType", "fieldsV1:FieldsV1", "subresource", start=6),
    },
    "LabelSelector": _fields("matchLabels:{}string", "matchExpressions:[]LabelSelectorRequirement"),
    "LabelSelectorRequirement": _fields("key", "operator", "values:[]string"),
    "DeleteOptions": _fields(
        "gracePeriodSeconds:int", "preconditions:Preconditions", "orphanDependents:bool",
        "propagationPolicy", "dryRun:[]string",
    ),
    "Preconditions": _fields("uid", "resourceVersion"),
    "ObjectReference": _fields(
        "kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"
    ),
    "LocalObjectReference": _fields("name"),
    "Namespace": _OBJECT | _fields("spec:NamespaceSpec", "status:NamespaceStatus", start=2),
    "NamespaceSpec": _fields("finalizers:[]string"),
    "NamespaceStatus": _fields("phase"),
    "Secret": _OBJECT
    | _fields("data:{}bytes", "type", "stringData:{}string", "immutable:bool", start=2),
    "ConfigMap": _OBJECT
    | _fields("data:{}string", "binaryData:{}bytes", "immutable:bool", start=2),
    "ResourceQuota": _OBJECT
    | _fields("spec:ResourceQuotaSpec", "status:ResourceQuotaStatus", start=2),
    "ResourceQuotaSpec": _fields("hard:{}Quantity", "scopes:[]string"),
    "ResourceQuotaStatus": _fields("hard:{}Quantity", "used:{}Quantity"),
    "ServiceAccount": _OBJECT
    | _fields(
        "secrets:[]ObjectReference", "imagePullSecrets:[]LocalObjectReference",
        "automountServiceAccountToken:bool", start=2,
    ),
    "Event": _OBJECT
    | _fields(
        "involvedObject:ObjectReference", "reason", "message", "source:EventSource",
        "firstTimestamp:Time", "lastTimestamp:Time", "count:int", "type", "eventTime:MicroTime",
        "series:EventSeries", "action", "related:ObjectReference", "reportingComponent",
        "reportingInstance", start=2,
    ),
    "events.k8s.io Event": _OBJECT
    | _fields(
        "eventTime:MicroTime", "series:EventSeries", "reportingController", "reportingInstance",
        "action", "reason", "regarding:ObjectReference", "related:ObjectReference", "note", "type",
        "deprecatedSource:EventSource", "deprecatedFirstTimestamp:Time",
        "deprecatedLastTimestamp:Time", "deprecatedCount:int", start=2,
    ),
    "EventSource": _fields("component", "host"),
    "EventSeries": _fields("count:int", "lastObservedTime:MicroTime"),
    "Lease": _OBJECT | _fields("spec:LeaseSpec", start=2),
    "LeaseSpec": _fields(
        "holderIdentity", "leaseDurationSeconds:int", "acquireTime:MicroTime",
        "renewTime:MicroTime", "leaseTransitions:int", "strategy", "preferredHolder",
    ),
    "Role": _OBJECT | _fields("rules:[]PolicyRule", start=2),
    "ClusterRole": _OBJECT
    | _fields("rules:[]PolicyRule", "aggregationRule:AggregationRule", start=2),
    "AggregationRule": _fields("clusterRoleSelectors:[]LabelSelector"),
    "RoleBinding": _OBJECT | _fields("subjects:[]Subject", "roleRef:RoleRef", start=2),
    "ClusterRoleBinding": _OBJECT | _fields("subjects:[]Subject", "roleRef:RoleRef", start=2),
    "PolicyRule": _fields(
        "verbs:[]string", "apiGroups:[]string", "resources:[]string", "resourceNames:[]string",
        "nonResourceURLs:[]string",
    ),
    "RoleRef": _fields("apiGroup", "kind", "name"),
    "Subject": _fields("kind", "apiGroup", "name", "namespace"),
    "SelfSubjectAccessReview": _REVIEW | _fields("spec:SelfSubjectAccessReviewSpec", start=2),
    "SelfSubjectAccessReviewSpec": _fields(
        "resourceAttributes:ResourceAttributes", "nonResourceAttributes:NonResourceAttributes"
    ),
    "SubjectAccessReview": _REVIEW | _fields("spec:SubjectAccessReviewSpec", start=2),
    "LocalSubjectAccessReview": _REVIEW | _fields("spec:SubjectAccessReviewSpec", start=2),
    "SubjectAccessReviewSpec": _fields(
        "resourceAttributes:ResourceAttributes", "nonResourceAttributes:NonResourceAttributes",
        "user", "groups:[]string",
    ),
    "ResourceAttributes": _fields(
        "namespace", "verb", "group", "version", "resource", "subresource", "name"
    ),
    "NonResourceAttributes": _fields("path", "verb"),
    "SelfSubjectRulesReview": _REVIEW | _fields("spec:SelfSubjectRulesReviewSpec", start=2),
    "SelfSubjectRulesReviewSpec": _fields("namespace"),
    "SelfSubjectReview": _REVIEW,
    "TokenReview": _REVIEW | _fields("spec:TokenReviewSpec", start=2),
    "TokenReviewSpec": _fields("token", "audiences:[]string"),
    "TokenRequest": _REVIEW | _fields("spec:TokenRequestSpec", start=2),
    "TokenRequestSpec": {
        1: ("audiences", "[]string"),
        3: ("boundObjectRef", "BoundObjectReference"),
        4: ("expirationSeconds", "int"),
    },
    "BoundObjectReference": _fields("kind", "apiVersion", "name", "uid"),
}  # fmt: skip
