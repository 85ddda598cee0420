"""What CloudFormation checks of a request that ministack does not: tokens, policies, states."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from typing import Any

from isthmus_lab_aws import journal, ministack, policy
from isthmus_lab_aws.answers import error_answer
from isthmus_lab_aws.gateway import Arrived
from isthmus_lab_aws.journal import Operation
from isthmus_lab_aws.resource import Answer, ApiHook, Call, Request, ResourceType, Saved

KEPT_TOKENS = 10_000
UNDELETABLE_STATES = frozenset(
    {
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        "IMPORT_IN_PROGRESS",
        "IMPORT_ROLLBACK_IN_PROGRESS",
    }
)


class Tokens:
    """A repeated request with the same ClientRequestToken gets the first one's answer."""

    def __init__(self) -> None:
        self._answers: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()

    def hook(self) -> ApiHook:
        """How CloudFormation's API passes here."""
        actions = frozenset(
            {
                "CreateStack",
                "UpdateStack",
                "DeleteStack",
                "CreateChangeSet",
                "ExecuteChangeSet",
                "ContinueUpdateRollback",
                "CancelUpdateStack",
            }
        )
        return ApiHook("cloudformation", actions, self._before, self._after)

    def saved(self) -> Saved:
        """The tokens, so that a repetition after a restart is known as well."""
        return Saved(
            "client-request-tokens",
            lambda: json.dumps(self._answers).encode(),
            lambda body: self._answers.update(json.loads(body)),
        )

    def _before(self, call: Call) -> Answer | None:
        key = _token_key(call)
        with self._lock:
            known = self._answers.get(key) if key else None
        if known is None:
            return None
        if known["request"] != _digest(call):
            return error_answer(
                call,
                "TokenAlreadyExistsException",
                "A client request token already exists: it was used with other parameters.",
            )
        return Answer(200, base64.b64decode(known["body"]), {"content-type": "text/xml"})

    def _after(self, call: Call, answer: Answer) -> Answer:
        key = _token_key(call)
        if key and answer.status == 200:
            body = base64.b64encode(answer.body).decode()
            with self._lock:
                self._answers[key] = {"request": _digest(call), "body": body}
                while len(self._answers) > KEPT_TOKENS:
                    del self._answers[next(iter(self._answers))]
        return answer


async def state_gatekeeper(arrived: Arrived) -> Answer | None:
    """Refuse to delete a stack in the middle of an update."""
    call = arrived.call
    if call.action != "DeleteStack":
        return None
    record = ministack.stack_record(str(call.parameters.get("StackName", "")))
    status = str(record["StackStatus"]) if record else ""
    if record is None or status not in UNDELETABLE_STATES:
        return None
    return error_answer(
        call,
        "ValidationError",
        f"Stack [{record['StackId']}] cannot be deleted while in status {status}",
    )


async def policy_gatekeeper(arrived: Arrived) -> Answer | None:
    """Refuse an update that removes a resource which the stack policy keeps."""
    call = arrived.call
    if call.action not in ("UpdateStack", "ExecuteChangeSet"):
        return None
    record = ministack.stack_record(str(call.parameters.get("StackName", "")))
    wanted = ministack.resources_wanted(call.parameters)
    if record is None or wanted is None:
        return None
    document = _policy_of(record, call)
    for logical_id, resource in record.get("_resources", {}).items():
        if logical_id in wanted:
            continue
        kind = str(resource.get("ResourceType", ""))
        reason = policy.refusal(document, "Update:Delete", logical_id, kind)
        if reason:
            return error_answer(call, "ValidationError", reason)
    return None


def take_over_policy(operation: Operation, call: Call) -> None:
    """Note the policy that holds for an update: the stack's, or the one for this update only."""
    record = ministack.stack_record(operation.stack)
    if record is not None and call.action in ("UpdateStack", "ExecuteChangeSet"):
        operation.policy = _policy_of(record, call)


def policy_refusal(operation: str, kind: ResourceType, request: Request) -> str | None:
    """Fail a step that the stack policy forbids."""
    under_way = journal.running()
    if under_way is None or operation != "update":
        return None
    replaces = ministack.replaces(kind.name, request)
    action = "Update:Replace" if replaces else "Update:Modify"
    return policy.refusal(under_way.policy, action, request.logical_id, kind.name)


def _policy_of(record: dict[str, Any], call: Call) -> str:
    return str(
        call.parameters.get("StackPolicyDuringUpdateBody") or record.get("_stack_policy") or ""
    )


def _token_key(call: Call) -> str:
    token = call.parameters.get("ClientRequestToken") or call.parameters.get("ClientToken")
    if not token:
        return ""
    stack = str(call.parameters.get("StackName", ""))
    return "/".join([call.place.account, call.place.region, call.action, stack, str(token)])


def _digest(call: Call) -> str:
    given = json.dumps(call.parameters, sort_keys=True, default=str)
    return hashlib.sha256(given.encode()).hexdigest()
