"""Amazon Redshift Serverless' resource types, made through the lab's own service.

The service is in `redshift_serverless_api.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

from isthmus_lab_aws import backing
from isthmus_lab_aws.backing import key_of
from isthmus_lab_aws.inside import absent_is_fine
from isthmus_lab_aws.records import Record
from isthmus_lab_aws.resource import (
    Delays,
    Extension,
    Physical,
    Place,
    Properties,
    Request,
    ResourceType,
)
from isthmus_lab_aws.types import redshift_serverless_api as api


class _Serverless(ResourceType):
    """What namespaces and workgroups have in common: names, and `GetAtt` below their kind."""

    kind = ""
    delays = Delays(timedelta(minutes=3), api.WORKING, timedelta(minutes=2))

    def create(self, request: Request) -> Physical:
        """Create it through the API."""
        made = self._call(request.place, "Create", request.properties)
        made["status"] = "AVAILABLE"
        return self._physical(made)

    def update(self, request: Request) -> Physical:
        """Update what changed through the API."""
        old = request.old_properties
        changed = {k: v for k, v in request.properties.items() if old.get(k) != v}
        named = {**changed, f"{self.kind.title()}Name": request.physical_id}
        made = self._call(request.place, "Update", named)
        made["status"] = "AVAILABLE"
        return self._physical(made)

    def delete(self, request: Request) -> None:
        """Delete it through the API."""
        with absent_is_fine():
            named = {f"{self.kind.title()}Name": request.physical_id}
            self._call(request.place, "Delete", named)

    def taken(self, place: Place, properties: Properties) -> str | None:
        """One of this name exists."""
        name = properties.get(f"{self.kind.title()}Name")
        exists = name in api.RECORDS.of(place, self.kind)
        return f"The {self.kind} {name} already exists." if exists else None

    def begin(self, place: Place, physical_id: str, state: str) -> None:
        """CREATING, MODIFYING, DELETING."""
        record = api.RECORDS.of(place, self.kind).get(physical_id)
        if record is not None:
            record["status"] = state.upper()

    def settle(self, place: Place, physical_id: str) -> None:
        """AVAILABLE."""
        record = api.RECORDS.of(place, self.kind).get(physical_id)
        if record is not None:
            api.settle(record)

    def _call(self, place: Place, verb: str, properties: Properties) -> Record:
        action = f"{verb}{self.kind.title()}"
        answer = api.SERVERLESS.provision(place, action, _camel(properties))
        return cast("Record", answer[self.kind])

    def _physical(self, record: Record) -> Physical:
        attributes: dict[str, str] = {}
        for key, value in record.items():
            name = f"{self.kind.title()}.{key[:1].upper()}{key[1:]}"
            if isinstance(value, str | int | float) and not key.startswith("_"):
                attributes[name] = str(value)
        endpoint: Record = record.get("endpoint", {})
        for key, value in endpoint.items():
            attributes[f"{self.kind.title()}.Endpoint.{key.title()}"] = str(value)
        return Physical(str(record[f"{self.kind}Name"]), attributes)


class Namespace(_Serverless):
    """`AWS::RedshiftServerless::Namespace`."""

    name = "AWS::RedshiftServerless::Namespace"
    kind = api.NAMESPACE
    replacing = ("NamespaceName",)

    def delete(self, request: Request) -> None:
        """Take the final snapshot that the template asks for, then delete."""
        final = request.properties.get("FinalSnapshotName")
        named = {"NamespaceName": request.physical_id}
        with absent_is_fine():
            wanted = {**named, "FinalSnapshotName": final} if final else named
            self._call(request.place, "Delete", wanted)


class Workgroup(_Serverless):
    """`AWS::RedshiftServerless::Workgroup`."""

    name = "AWS::RedshiftServerless::Workgroup"
    kind = api.WORKGROUP
    replacing = ("WorkgroupName", "NamespaceName")


def _camel(value: Any) -> Any:
    """A template's `BaseCapacity` is the API's `baseCapacity`."""
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, Any]", value)
        return {key[:1].lower() + key[1:]: _camel(item) for key, item in pairs.items()}
    if isinstance(value, list):
        return [_camel(item) for item in cast("list[Any]", value)]
    return value


def started() -> None:
    """After a restart: finish what was under way, run the databases that should run."""
    for place, kind, _, record in api.RECORDS.everywhere():
        api.settle(record)
        if kind == api.NAMESPACE:
            api.follow(place, record)
    backing.retain("serverless", _known)


def _known() -> set[str]:
    """The keys of all databases that a namespace stands for."""
    found = api.RECORDS.everywhere()
    return {
        key_of("serverless", place, name) for place, kind, name, _ in found if kind == api.NAMESPACE
    }


def inventory() -> list[tuple[Place, str, str]]:
    """What exists, for checks that nothing was left behind."""
    names = {
        api.NAMESPACE: Namespace.name,
        api.SNAPSHOT: "AWS::RedshiftServerless::Snapshot",
        api.WORKGROUP: Workgroup.name,
    }
    return [(place, names[kind], name) for place, kind, name, _ in api.RECORDS.everywhere()]


EXTENSION = Extension(
    types=(Namespace(), Workgroup()),
    apis=(api.SERVERLESS,),
    saved=(api.RECORDS.saved(),),
    started=started,
    inventory=inventory,
)
