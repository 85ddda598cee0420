"""Objects that are stored otherwise than they are served: those that two groups serve.

Events are in the core group and in `events.k8s.io`, under other names of their fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from isthmus.apiserver.jsonvalues import Json, as_map


@dataclass(frozen=True)
class Shape:
    """How the objects of a resource lie in the store.

    Attributes:
        collection: Where they lie: that of the resource whose objects they are as well.
        names: Names of top-level fields in the store, by their names here where they differ.
        always: Fields, by their names in the store, that are there though nobody has set them.
        paths: What field selectors mean by a name: the first of these places that says something.
    """

    collection: str
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    always: Mapping[str, Any] = field(default_factory=dict[str, Any])
    paths: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    @cached_property
    def _served(self) -> dict[str, str]:
        return {stored: here for here, stored in self.names.items()}

    def stored(self, obj: Json) -> Json:
        """An object as it is stored."""
        found = {self.names.get(name, name): value for name, value in obj.items()}
        return {**self.always, **found}

    def served(self, obj: Json) -> Json:
        """A stored object as it is served; empty texts say nothing here."""
        return {
            self._served.get(name, name): value
            for name, value in obj.items()
            if not self.names or value != ""
        }

    def places(self, field: str) -> tuple[str, ...]:
        """Where a field selector's `a.b` lies in a stored object."""
        first, dot, rest = field.partition(".")
        return self.paths.get(field) or (self.names.get(first, first) + dot + rest,)

    def schema(self, stored: Json) -> Json:
        """The schema of what is served, from that of what is stored."""
        properties = as_map(stored.get("properties"))
        return {**stored, "properties": self.served(properties)}
