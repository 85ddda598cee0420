"""Athena: what ministack lacks of workgroups, and named queries, prepared statements, catalogs.

Queries run real SQL in ministack (DuckDB) and write their results to S3.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from isthmus_lab_aws import gateway, ministack
from isthmus_lab_aws.answers import error_answer
from isthmus_lab_aws.ministack import NativeType
from isthmus_lab_aws.resource import (
    Answer,
    ApiHook,
    Call,
    Extension,
    Place,
    Properties,
    Request,
    ResourceFailure,
)
from isthmus_lab_aws.through_api import Calls, ThroughApi


class WorkGroup(NativeType):
    """`AWS::Athena::WorkGroup`; one with queries goes only with `RecursiveDeleteOption`."""

    name = "AWS::Athena::WorkGroup"

    def taken(self, place: Place, properties: Properties) -> str | None:
        """A workgroup of this name exists."""
        name = properties.get("Name")
        exists = name in ministack.service("athena")._workgroups
        return f"WorkGroup {name} is already created" if exists else None

    def delete(self, request: Request) -> None:
        """Refuse while it holds named queries, unless told to take them along."""
        recursive = str(request.properties.get("RecursiveDeleteOption")).lower() == "true"
        service = ministack.service("athena")
        held = [
            identity
            for identity, query in service._named_queries.items()
            if query.get("WorkGroup") == request.physical_id
        ]
        if held and not recursive:
            message = f"WorkGroup {request.physical_id} is not empty"
            raise ResourceFailure(f"{message} (Service: Athena)", "ResourceConflict")
        for identity in held:
            service._named_queries.pop(identity, None)
        super().delete(request)


def _statement(request: Request) -> Mapping[str, Any]:
    given = request.properties
    return {**given, "StatementName": given.get("StatementName") or request.name()}


NAMED_QUERY = ThroughApi(
    "AWS::Athena::NamedQuery",
    Calls(
        service="athena",
        create="CreateNamedQuery",
        delete="DeleteNamedQuery",
        delete_by="NamedQueryId",
        identity="NamedQueryId",
        attributes={"NamedQueryId": "=id"},
    ),
    replacing=("Database", "Description", "Name", "QueryString", "WorkGroup"),
)
PREPARED_STATEMENT = ThroughApi(
    "AWS::Athena::PreparedStatement",
    Calls(
        service="athena",
        create="CreatePreparedStatement",
        delete="DeletePreparedStatement",
        delete_by="StatementName",
        identity="=StatementName",
        update="UpdatePreparedStatement",
        keep=("WorkGroup",),
    ),
    shape=_statement,
    replacing=("StatementName", "WorkGroup"),
)
DATA_CATALOG = ThroughApi(
    "AWS::Athena::DataCatalog",
    Calls(
        service="athena",
        create="CreateDataCatalog",
        delete="DeleteDataCatalog",
        delete_by="Name",
        identity="=Name",
        update="UpdateDataCatalog",
    ),
    replacing=("Name",),
)


def before_query(call: Call) -> Answer | None:
    """A query needs a workgroup that exists and is enabled, whose enforced settings win."""
    name = str(call.parameters.get("WorkGroup", "primary"))
    group: Mapping[str, Any] | None = ministack.service("athena")._workgroups.get(name)
    if group is None:
        if name == "primary":
            return None
        return error_answer(call, "InvalidRequestException", f"WorkGroup {name} is not found.")
    if group.get("State") == "DISABLED":
        return error_answer(call, "InvalidRequestException", f"WorkGroup {name} is disabled.")
    settings: Mapping[str, Any] = group.get("Configuration", {})
    enforced = str(settings.get("EnforceWorkGroupConfiguration", "true")).lower() == "true"
    own = settings.get("ResultConfiguration")
    if not (enforced and own and "ResultConfiguration" in call.parameters):
        return None
    without = {key: item for key, item in call.parameters.items() if key != "ResultConfiguration"}
    return _start(call, without)


def _start(call: Call, parameters: Mapping[str, Any]) -> Answer:
    """Start the query on the server's own loop, where it goes on running."""
    loop = gateway.main_loop()
    if loop is None:
        raise RuntimeError("a query came before the server's loop ran")

    async def start() -> tuple[int, Mapping[str, str], bytes | str]:
        handler = ministack.module("app").SERVICE_HANDLERS["athena"]
        with ministack.at(call.place):
            body = json.dumps(parameters).encode()
            answer: tuple[int, Mapping[str, str], bytes | str] = await handler(
                call.method, call.path, call.headers, body, {}
            )
            return answer

    status, headers, body = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    return Answer(status, body if isinstance(body, bytes) else body.encode(), dict(headers))


EXTENSION = Extension(
    types=(WorkGroup(), NAMED_QUERY, PREPARED_STATEMENT, DATA_CATALOG),
    hooks=(ApiHook("athena", frozenset({"StartQueryExecution"}), before=before_query),),
)
