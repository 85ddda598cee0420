"""What Heat would make of a template's values, as far as blueprints use its functions.

https://docs.openstack.org/heat/latest/template_guide/hot_spec.html#intrinsic-functions
"""

import json
import re
from typing import Any


class Hot:
    """A rendered template, with the values of parameters and attributes that only Heat knows."""

    def __init__(self, template: dict, parameters: dict, attributes: dict) -> None:
        self._template = template
        self._parameters = parameters
        self._attributes = attributes

    def value(self, node: Any) -> Any:
        """Resolve every function of a value."""
        if isinstance(node, list):
            return [self.value(item) for item in node]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, argument),) = node.items()
            if function := getattr(self, f"_{name}", None):
                return function(argument)
        return {key: self.value(item) for key, item in node.items()}

    def holds(self, condition: Any) -> bool:
        if isinstance(condition, str):
            return self.holds(self._template["conditions"][condition])
        ((name, argument),) = condition.items()
        if name == "not":
            return not self.holds(argument)
        if name == "and":
            return all(self.holds(part) for part in argument)
        assert name == "equals", name
        return self.value(argument[0]) == self.value(argument[1])

    def _if(self, argument: list) -> Any:
        chosen = argument[1:2] if self.holds(argument[0]) else argument[2:]
        return self.value(chosen[0]) if chosen else None

    def _get_param(self, name: str) -> Any:
        return self._parameters.get(name, "")

    def _get_resource(self, name: str) -> str:
        return f"id-of-{name}"

    def _get_attr(self, path: list) -> Any:
        name, attribute = path[:2]
        resource = self._template["resources"][name]
        if (resource["type"], attribute) == ("OS::Heat::Value", "value"):
            return self.value(resource["properties"]["value"])
        return self._attributes[f"{name}.{attribute}"]

    def _list_join(self, argument: list) -> str:
        parts = [self.value(part) for part in argument[1:]]
        texts = [p if isinstance(p, str) else json.dumps(p) for part in parts for p in part]
        return argument[0].join(texts)

    def _yaql(self, argument: dict) -> Any:
        index = re.fullmatch(r"\$\.data\[(\d+)\]", argument["expression"])
        assert index is not None, argument
        return self.value(argument["data"])[int(index[1])]

    def _str_replace(self, argument: dict) -> str:
        pairs = {key: self.value(text) for key, text in argument["params"].items()}
        keys = "|".join(re.escape(key) for key in sorted(pairs, key=len, reverse=True))
        return re.sub(keys, lambda match: pairs[match[0]], self.value(argument["template"]))
