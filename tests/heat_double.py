"""Stacks of servers as Heat keeps them, as far as it decides what becomes of a server.

A check marks every server that is not ACTIVE, or not there, as CHECK_FAILED. An update replaces
whatever is so marked, whatever else it is for; its dry run says that of the stack's own resources
and calls every group changed. A mark is lifted by a PATCH of the resource.
https://opendev.org/openstack/heat/src/branch/master/heat/engine/resource.py (``_needs_update``)
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Thing = dict[str, Any]
Answer = tuple[int, Any]
SERVER, GROUP = "OS::Nova::Server", "OS::Heat::ResourceGroup"
TIME = "2026-01-01T00:00:00Z"
SCHEMA = {"metadata": {"update_allowed": True}, "scheduler_hints": {"update_allowed": False}}
"""Of a server's properties."""


@dataclass
class Part:
    """A resource: a server, or a group with its members."""

    definition: Thing
    physical: str = ""
    status: str = "CREATE_COMPLETE"
    reason: str = ""
    members: "dict[str, Part]" = field(default_factory=dict[str, "Part"])

    @property
    def type(self) -> str:
        return self.definition["type"]


@dataclass
class Stack:
    """One stack of the project."""

    name: str
    id: str
    template: Thing = field(default_factory=dict[str, Any])
    tags: list[str] = field(default_factory=list[str])
    status: str = "CREATE_COMPLETE"
    parts: dict[str, Part] = field(default_factory=dict[str, Part])


@dataclass
class Stacks:
    """All stacks, and the servers of Nova that they are made of."""

    servers: list[Thing]
    stacks: dict[str, Stack] = field(default_factory=dict[str, Stack])
    replaced: list[str] = field(default_factory=list[str])
    """Ids of servers that an update took away to make others."""
    updated: list[str] = field(default_factory=list[str])
    """Ids of servers that an update changed in place."""
    made: int = 0

    def answer(self, method: str, path: str, query: Thing) -> Answer:
        body: Thing = query["body"]
        if path.startswith("/resource_types/"):
            return 200, {"properties": SCHEMA}
        words = path.strip("/").split("/")[1:]
        match method, words:
            case "POST", []:
                self._create(body)
                return 201, {}
            case "POST", ["preview"]:
                listed = list(_as_new(body["template"], body["stack_name"]))
                return 200, {"stack": {"resources": listed}}
            case _:
                pass
        stack, inside = self._found(words)
        if stack is None:
            return 404, {"error": {"message": f"The Stack ({words[0]}) could not be found."}}
        if method == "GET":
            return 200, self._read(stack, words[2:], query)
        match method, words[2:]:
            case "POST", ["actions"]:
                self._check(stack)
            case "PATCH", ["resources", name]:
                self._mark(inside[name], body)
            case "PUT", ["preview"]:
                return 200, {"resource_changes": self._foreseen(stack, body["template"])}
            case _:
                assert words[2:] == [], (method, path)
                self._update(stack, body)
        return 202, {}

    def _read(self, stack: Stack, what: list[str], query: Thing) -> Thing:
        match what:
            case []:
                return {"stack": _shown(stack)}
            case ["template"]:
                return stack.template
            case ["files"]:
                return {}
            case ["resources"]:
                return {"resources": list(self._listed(stack, query))}
            case _:
                return {"events": []}

    def part(self, path: str) -> Part:
        """The resource of the only stack at a path, ``nodes/1``."""
        (stack,) = self.stacks.values()
        name, _, member = path.partition("/")
        return stack.parts[name].members[member] if member else stack.parts[name]

    def _found(self, words: list[str]) -> tuple[Stack | None, dict[str, Part]]:
        """The stack of that name or id, and the resources in it, or in the group of that id."""
        for stack in self.stacks.values():
            if words[0] in (stack.name, stack.id):
                return stack, stack.parts
            for name, part in stack.parts.items():
                if words[1:2] == [f"{stack.id}-{name}"]:
                    return stack, part.members
        return None, {}

    def _create(self, body: Thing) -> None:
        stack = Stack(body["stack_name"], f"id-of-{body['stack_name']}")
        self.stacks[stack.name] = stack
        self._update(stack, body)
        stack.status = "CREATE_COMPLETE"

    def _update(self, stack: Stack, body: Thing) -> None:
        template = body.get("template") or stack.template
        wanted: Thing = template["resources"]
        for name in [name for name in stack.parts if name not in wanted]:
            self._delete(stack.parts.pop(name))
        for name, definition in wanted.items():
            stack.parts[name] = self._made(stack.parts.get(name), definition)
        stack.template, stack.status = template, "UPDATE_COMPLETE"
        stack.tags = [tag for tag in body.get("tags", "").split(",") if tag]

    def _made(self, former: Part | None, definition: Thing) -> Part:
        if definition["type"] == GROUP:
            there = former.members if former is not None else {}
            names = _members(definition["properties"])
            for name in there.keys() - set(names):
                self._delete(there[name])
            inner = definition["properties"]["resource_def"]
            members = {name: self._made(there.get(name), inner) for name in names}
            return Part(definition, "", "UPDATE_COMPLETE", members=members)
        if former is not None and former.status != "CHECK_FAILED":
            if former.definition != definition:
                self.updated.append(former.physical)
            return Part(definition, former.physical, "UPDATE_COMPLETE")
        if former is not None:
            self.replaced.append(former.physical)
            self._delete(former)
        self.made += 1
        size: Thing = {"original_name": "m1", "vcpus": 1, "ram": 512}
        server: Thing = {"id": f"server-{self.made}", "status": "ACTIVE", "flavor": size}
        server["metadata"] = definition["properties"].get("metadata", {})
        self.servers.append(server)
        return Part(definition, server["id"])

    def _delete(self, part: Part) -> None:
        self.servers[:] = [s for s in self.servers if s["id"] != part.physical]
        for member in part.members.values():
            self._delete(member)

    def _check(self, stack: Stack) -> None:
        failed = [self._checked(part) for part in stack.parts.values()]
        stack.status = "CHECK_FAILED" if any(failed) else "CHECK_COMPLETE"

    def _checked(self, part: Part) -> bool:
        if part.type == GROUP:
            failed = any([self._checked(member) for member in part.members.values()])
            part.status = "CHECK_FAILED" if failed else "CHECK_COMPLETE"
            return failed
        server = next((s for s in self.servers if s["id"] == part.physical), None)
        state = server["status"] if server is not None else ""
        part.status, part.reason = "CHECK_COMPLETE", "state changed"
        if state != "ACTIVE":
            words = f"'status': expected 'ACTIVE', got '{state}'" if state else "No such server"
            part.status, part.reason = "CHECK_FAILED", f"Error: {words}"
        return state != "ACTIVE"

    def _mark(self, part: Part, body: Thing) -> None:
        if body["mark_unhealthy"]:
            part.status = "CHECK_FAILED"
        elif part.status == "CHECK_FAILED":
            part.status = "CHECK_COMPLETE"
        part.reason = body.get("resource_status_reason", "")

    def _foreseen(self, stack: Stack, template: Thing) -> Thing:
        found: dict[str, list[Thing]] = {"added": [], "deleted": [], "updated": [], "replaced": []}
        wanted = template["resources"]
        for name in stack.parts.keys() | wanted.keys():
            part, definition = stack.parts.get(name), wanted.get(name)
            kind = part.type if part is not None else definition["type"]
            one = {"resource_name": name, "resource_type": kind}
            if part is None:
                found["added"].append(one)
            elif definition is None:
                found["deleted"].append(one)
            elif kind == SERVER and part.status == "CHECK_FAILED":
                found["replaced"].append(one)
            elif kind == GROUP or part.definition != definition:
                found["updated"].append(one)
        return found

    def _listed(self, stack: Stack, query: Thing) -> Iterator[Thing]:
        for name, part in stack.parts.items():
            nested = f"{stack.name}-{name}/{stack.id}-{name}" if part.type == GROUP else ""
            yield from _entry(part, name, f"{stack.name}/{stack.id}", query, nested)
            if nested and query.get("nested_depth"):
                for number, member in part.members.items():
                    yield from _entry(member, number, nested, query)


def _shown(stack: Stack) -> Thing:
    return {
        "stack_name": stack.name, "id": stack.id, "stack_status": stack.status,
        "tags": stack.tags, "creation_time": TIME,
    }  # fmt: skip


def _entry(part: Part, name: str, where: str, query: Thing, nested: str = "") -> Iterator[Thing]:
    if query.get("status") and not part.status.endswith(query["status"]):
        return
    links = [{"rel": "stack", "href": f"http://heat/v1/p/stacks/{where}"}]
    if nested:
        links.append({"rel": "nested", "href": f"http://heat/v1/p/stacks/{nested}"})
    yield {
        "resource_name": name, "resource_type": part.type, "resource_status": part.status,
        "resource_status_reason": part.reason, "physical_resource_id": part.physical or where,
        "links": links,
    }  # fmt: skip


def _members(properties: Thing) -> list[str]:
    removed = {
        n for policy in properties.get("removal_policies", []) for n in policy["resource_list"]
    }
    free = (str(n) for n in range(100) if str(n) not in removed)
    return [next(free) for _ in range(properties["count"])]


def _as_new(template: Thing, stack: str) -> Iterator[Any]:
    for name, definition in template["resources"].items():
        if definition["type"] == GROUP:
            inner = definition["properties"]["resource_def"]
            yield [
                _new(number, inner, parent_resource=name)
                for number in _members(definition["properties"])
            ]
        else:
            yield _new(name, definition, stack_name=stack)


def _new(name: str, definition: Thing, **more: str) -> Thing:
    kind, properties = definition["type"], definition.get("properties", {})
    return {"resource_name": name, "resource_type": kind, "properties": properties} | more
