"""Route 53: zones with name servers, records, health checks; what ministack leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from isthmus_lab_aws import inside, ministack
from isthmus_lab_aws.inside import absent_is_fine
from isthmus_lab_aws.ministack import NativeType
from isthmus_lab_aws.resource import (
    Delays,
    Extension,
    Physical,
    Place,
    Properties,
    Request,
    ResourceFailure,
    ResourceType,
)
from isthmus_lab_aws.through_api import Calls, ThroughApi

_CHANGE = Delays(timedelta(seconds=40), timedelta(seconds=40), timedelta(seconds=40))


class HostedZone(ResourceType):
    """`AWS::Route53::HostedZone`, public or private; a zone with records refuses to go."""

    name = "AWS::Route53::HostedZone"
    delays = _CHANGE
    replacing = ("Name",)

    def create(self, request: Request) -> Physical:
        """Create the zone with its comment, networks and tags."""
        properties = request.properties
        vpcs: list[Any] = properties.get("VPCs", [])
        parameters: dict[str, Any] = {
            "Name": properties["Name"],
            "CallerReference": f"{request.stack}-{request.logical_id}-{_unique()}",
            "HostedZoneConfig": properties.get("HostedZoneConfig"),
            "VPC": vpcs[0] if vpcs else None,
        }
        made = inside.call("route53", "CreateHostedZone", parameters)
        identity = str(made["HostedZone"]["Id"]).rpartition("/")[2]
        self._associate(identity, vpcs[1:])
        _tag_zone(identity, properties.get("HostedZoneTags", []))
        return self._physical(identity)

    def update(self, request: Request) -> Physical:
        """Change comment, networks and tags."""
        old, new = request.old_properties, request.properties
        config: Mapping[str, Any] = new.get("HostedZoneConfig") or {}
        named = {"Id": request.physical_id, "Comment": config.get("Comment", "")}
        inside.call("route53", "UpdateHostedZoneComment", named)
        added = [vpc for vpc in new.get("VPCs", []) if vpc not in old.get("VPCs", [])]
        self._associate(request.physical_id, added)
        _tag_zone(request.physical_id, new.get("HostedZoneTags", []))
        return self._physical(request.physical_id)

    def delete(self, request: Request) -> None:
        """Delete the empty zone."""
        with absent_is_fine():
            inside.call("route53", "DeleteHostedZone", {"Id": request.physical_id})

    def undeletable(self, place: Place, physical_id: str) -> str | None:
        """It holds records that the stack did not make."""
        service = ministack.service("route53")
        zone: Mapping[str, Any] = service._zones.get(physical_id) or {}
        records: list[Mapping[str, Any]] = service._records.get(physical_id) or []
        own = [r for r in records if r["Type"] not in ("NS", "SOA") or r["Name"] != zone["name"]]
        if not own:
            return None
        names = ", ".join(f"{record['Name']} {record['Type']}" for record in own[:3])
        return (
            "The specified hosted zone contains non-required resource record sets and so cannot "
            f"be deleted ({names}). (Service: Route53, Status Code: 400)"
        )

    def find(self, place: Place, identifier: Mapping[str, str]) -> Physical:
        """An existing zone, for an import."""
        identity = identifier.get("Id", "")
        if identity not in ministack.service("route53")._zones:
            raise ResourceFailure(f"No hosted zone found with ID: {identity}", "NotFound")
        return self._physical(identity)

    def _associate(self, identity: str, vpcs: list[Any]) -> None:
        for vpc in vpcs:
            named = {"HostedZoneId": identity, "VPC": vpc}
            inside.call("route53", "AssociateVPCWithHostedZone", named)

    def _physical(self, identity: str) -> Physical:
        found = inside.call("route53", "GetHostedZone", {"Id": identity})
        attributes: dict[str, Any] = {"Id": identity}
        servers = found.get("DelegationSet", {}).get("NameServers")
        if servers:
            attributes["NameServers"] = servers
        return Physical(identity, attributes)


class RecordSet(NativeType):
    """`AWS::Route53::RecordSet`; a record that exists is not taken over."""

    name = "AWS::Route53::RecordSet"
    delays = _CHANGE

    def taken(self, place: Place, properties: Properties) -> str | None:
        """The zone has this record."""
        zone = str(properties.get("HostedZoneId", "")).rpartition("/")[2]
        name = str(properties.get("Name", "")).rstrip(".").lower() + "."
        wanted = (name, properties.get("Type"), properties.get("SetIdentifier"))
        records: list[Mapping[str, Any]] = ministack.service("route53")._records.get(zone) or []
        for record in records:
            if (record["Name"], record["Type"], record.get("SetIdentifier")) == wanted:
                return (
                    f"Tried to create resource record set [name='{name}', type='{wanted[1]}'] "
                    "but it already exists"
                )
        return None


class RecordSetGroup(ResourceType):
    """`AWS::Route53::RecordSetGroup`: several records of one zone in one change."""

    name = "AWS::Route53::RecordSetGroup"
    delays = _CHANGE
    replacing = ("HostedZoneId", "HostedZoneName")

    def create(self, request: Request) -> Physical:
        """Create all records at once, or none."""
        self._change(request.properties, "CREATE", request.properties.get("RecordSets", []))
        return Physical(request.name(), {"Id": request.name()})

    def update(self, request: Request) -> Physical:
        """Write what is wanted, remove what is not any more."""
        new: list[Any] = request.properties.get("RecordSets", [])
        kept = {(record["Name"], record["Type"]) for record in new}
        old: list[Any] = request.old_properties.get("RecordSets", [])
        gone = [record for record in old if (record["Name"], record["Type"]) not in kept]
        self._change(request.properties, "DELETE", gone)
        self._change(request.properties, "UPSERT", new)
        return Physical(request.physical_id, request.attributes)

    def delete(self, request: Request) -> None:
        """Remove all records."""
        with absent_is_fine():
            self._change(request.properties, "DELETE", request.properties.get("RecordSets", []))

    def _change(self, properties: Properties, action: str, records: list[Any]) -> None:
        if not records:
            return
        changes = [{"Action": action, "ResourceRecordSet": _api_record(r)} for r in records]
        zone = {"HostedZoneId": _zone_of(properties), "ChangeBatch": {"Changes": changes}}
        inside.call("route53", "ChangeResourceRecordSets", zone)


def _api_record(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    values: list[Any] = properties.get("ResourceRecords", [])
    return {**properties, "ResourceRecords": [{"Value": str(value)} for value in values] or None}


def _zone_of(properties: Properties) -> str:
    if properties.get("HostedZoneId"):
        return str(properties["HostedZoneId"])
    wanted = str(properties.get("HostedZoneName", "")).rstrip(".") + "."
    for identity, zone in ministack.service("route53")._zones.items():
        if zone["name"] == wanted:
            return str(identity)
    raise ResourceFailure(f"No hosted zone named {wanted} found", "NotFound")


def _tag_zone(identity: str, tags: list[Any]) -> None:
    if tags:
        named = {"ResourceType": "hostedzone", "ResourceId": identity, "AddTags": tags}
        inside.call("route53", "ChangeTagsForResource", named)


def _unique() -> str:
    return str(ministack.module("core.responses").new_uuid())


def _health_check(request: Request) -> Mapping[str, Any]:
    return {**request.properties, "CallerReference": _unique()}


HEALTH_CHECK = ThroughApi(
    "AWS::Route53::HealthCheck",
    Calls(
        service="route53",
        create="CreateHealthCheck",
        delete="DeleteHealthCheck",
        delete_by="HealthCheckId",
        identity="HealthCheck.Id",
        attributes={"HealthCheckId": "=id"},
    ),
    shape=_health_check,
    replacing=("HealthCheckConfig",),
)
EXTENSION = Extension(types=(HostedZone(), RecordSet(), RecordSetGroup(), HEALTH_CHECK))
