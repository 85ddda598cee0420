"""Label selectors: who may use what."""

from collections.abc import Mapping

from isthmus.api.meta import LabelRequirement, LabelSelector

NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""Label that every namespace bears: its own name."""


def matches(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """Tell whether labels fit a selector; an absent or empty selector fits all."""
    if selector is None:
        return True
    equal = all(labels.get(key) == value for key, value in selector.match_labels.items())
    return equal and all(_holds(req, labels) for req in selector.match_expressions)


def _holds(req: LabelRequirement, labels: Mapping[str, str]) -> bool:
    has = req.key in labels
    match req.operator:
        case "Exists":
            return has
        case "DoesNotExist":
            return not has
        case "In":
            return has and labels[req.key] in req.values
        case "NotIn":
            return not has or labels[req.key] not in req.values
