"""Elastic Load Balancing, application and network: target health, protection, what is in use.

ministack's targets are always healthy and vanish at once; here they start as `initial`, are
`unused` without a listener, and drain. No traffic flows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from isthmus_lab_aws import lab, ministack
from isthmus_lab_aws.answers import error_answer, xml_answer
from isthmus_lab_aws.ministack import NativeType
from isthmus_lab_aws.resource import Answer, ApiHook, Call, Delays, Extension, Place, Properties

Record = dict[str, Any]
_XML_SPACE = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"
_PROVISIONING = timedelta(minutes=2)
_V2 = "2015-12-01"


def _service() -> Any:
    return ministack.service("alb")


def _attribute(store: Mapping[str, list[Record]], arn: str, key: str, default: str) -> str:
    values = {item["Key"]: str(item["Value"]) for item in store.get(arn, [])}
    return values.get(key, default)


def _users(arn: str) -> bool:
    """Whether a listener or rule forwards to a target group."""
    service = _service()
    things = [*service._listeners.values(), *service._rules.values()]
    return any(arn in str(thing) for thing in things)


class LoadBalancer(NativeType):
    """`AWS::ElasticLoadBalancingV2::LoadBalancer`."""

    name = "AWS::ElasticLoadBalancingV2::LoadBalancer"
    delays = Delays(_PROVISIONING, timedelta(seconds=30), timedelta(seconds=30))

    def taken(self, place: Place, properties: Properties) -> str | None:
        """A load balancer of this name exists."""
        name = properties.get("Name")
        names = [record["LoadBalancerName"] for record in _service()._lbs.values()]
        return f"A load balancer with the name '{name}' already exists." if name in names else None

    def undeletable(self, place: Place, physical_id: str) -> str | None:
        """Deletion protection is on."""
        return _protected(physical_id)

    def begin(self, place: Place, physical_id: str, state: str) -> None:
        """Provisioning."""
        record: Record | None = _service()._lbs.get(physical_id)
        if record is not None and state == "creating":
            record["State"] = "provisioning"

    def settle(self, place: Place, physical_id: str) -> None:
        """Active."""
        record: Record | None = _service()._lbs.get(physical_id)
        if record is not None:
            record["State"] = "active"


class TargetGroup(NativeType):
    """`AWS::ElasticLoadBalancingV2::TargetGroup`."""

    name = "AWS::ElasticLoadBalancingV2::TargetGroup"

    def taken(self, place: Place, properties: Properties) -> str | None:
        """A target group of this name exists."""
        name = properties.get("Name")
        names = [record["TargetGroupName"] for record in _service()._tgs.values()]
        return f"A target group with the name '{name}' already exists." if name in names else None

    def undeletable(self, place: Place, physical_id: str) -> str | None:
        """A listener or a rule forwards to it."""
        if _users(physical_id):
            return f"Target group '{physical_id}' is currently in use by a listener or a rule"
        return None


def _protected(arn: str) -> str | None:
    key = "deletion_protection.enabled"
    if _attribute(_service()._lb_attrs, arn, key, "false") == "true":
        return (
            f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled "
            "(Service: ElasticLoadBalancingV2, Status Code: 400)"
        )
    return None


def _delete_balancer(call: Call) -> Answer | None:
    reason = _protected(str(call.parameters.get("LoadBalancerArn", "")))
    if reason is None:
        return None
    return error_answer(call, "OperationNotPermitted", reason.partition(" (Service")[0])


def _delete_group(call: Call) -> Answer | None:
    arn = str(call.parameters.get("TargetGroupArn", ""))
    if not _users(arn):
        return None
    message = f"Target group '{arn}' is currently in use by a listener or a rule"
    return error_answer(call, "ResourceInUse", message)


def _group_targets(call: Call) -> list[Record] | Answer:
    arn = str(call.parameters.get("TargetGroupArn", ""))
    if arn not in _service()._tgs:
        message = "One or more target groups not found"
        return error_answer(call, "TargetGroupNotFound", message)
    targets: list[Record] = _service()._targets.setdefault(arn, [])
    gone = [target for target in targets if _drained(arn, target)]
    for target in gone:
        targets.remove(target)
    return targets


def _drained(arn: str, target: Record) -> bool:
    key = "deregistration_delay.timeout_seconds"
    delay = float(_attribute(_service()._tg_attrs, arn, key, "300"))
    return bool(target.get("_draining")) and _seconds_since(target["_draining"]) >= delay


def _seconds_since(moment: float) -> float:
    """Seconds of AWS since then."""
    scale = lab.current().scale
    return (time.time() - moment) / scale if scale else float("inf")


def _named(call: Call) -> list[Record]:
    """The targets that a call names."""
    named: list[Record] = _service()._parse_targets_param(call.parameters)
    return named


def _matches(target: Record, wanted: Record) -> bool:
    same_port = "Port" not in wanted or wanted["Port"] == target.get("Port")
    return bool(target["Id"] == wanted["Id"] and same_port)


def _register(call: Call) -> Answer | None:
    targets = _group_targets(call)
    if isinstance(targets, Answer):
        return targets
    for wanted in _named(call):
        targets[:] = [t for t in targets if not (_matches(t, wanted) and t.get("_draining"))]
        if not any(_matches(target, wanted) for target in targets):
            targets.append({**wanted, "_since": time.time()})
    return xml_answer(call.action, "", _XML_SPACE)


def _deregister(call: Call) -> Answer | None:
    targets = _group_targets(call)
    if isinstance(targets, Answer):
        return targets
    arn = str(call.parameters["TargetGroupArn"])
    for wanted in _named(call):
        for target in [target for target in targets if _matches(target, wanted)]:
            if _users(arn):
                target.setdefault("_draining", time.time())
            else:
                targets.remove(target)
    return xml_answer(call.action, "", _XML_SPACE)


def _health(call: Call) -> Answer | None:
    targets = _group_targets(call)
    if isinstance(targets, Answer):
        return targets
    arn, wanted = str(call.parameters["TargetGroupArn"]), _named(call)
    shown = [
        _health_xml(arn, target)
        for target in targets
        if not wanted or any(_matches(target, one) for one in wanted)
    ]
    if wanted and not shown:
        shown = [_health_xml(arn, {**target, "_absent": True}) for target in wanted]
    inner = f"<TargetHealthDescriptions>{''.join(shown)}</TargetHealthDescriptions>"
    return xml_answer(call.action, inner, _XML_SPACE)


def _health_xml(arn: str, target: Record) -> str:
    state, reason, description = _state(arn, target)
    port = target.get("Port", _service()._tgs[arn].get("Port", 80))
    detail = f"<Reason>{reason}</Reason><Description>{description}</Description>" if reason else ""
    return (
        f"<member><Target><Id>{target['Id']}</Id><Port>{port}</Port></Target>"
        f"<TargetHealth><State>{state}</State>{detail}</TargetHealth></member>"
    )


def _state(arn: str, target: Record) -> tuple[str, str, str]:
    if target.get("_absent"):
        return "unused", "Target.NotRegistered", "Target is not registered to the target group"
    if target.get("_draining"):
        why = "Target deregistration is in progress"
        return "draining", "Target.DeregistrationInProgress", why
    if not _users(arn):
        why = "Target group is not configured to receive traffic from the load balancer"
        return "unused", "Target.NotInUse", why
    group: Record = _service()._tgs[arn]
    checks = int(group["HealthCheckIntervalSeconds"]) * int(group["HealthyThresholdCount"])
    if _seconds_since(target.get("_since", 0.0)) < checks:
        return "initial", "Elb.RegistrationInProgress", "Target registration is in progress"
    return "healthy", "", ""


def _before(call: Call) -> Answer | None:
    if call.parameters.get("Version", _V2) != _V2:
        return None  # The classic load balancer's API has actions of the same names.
    return _BEFORE[call.action](call)


def _after_create(call: Call, answer: Answer) -> Answer:
    if answer.status >= 300 or call.parameters.get("Version", _V2) != _V2:
        return answer
    name = call.parameters.get("Name")
    for record in _service()._lbs.values():
        if record["LoadBalancerName"] == name:
            record["State"] = "provisioning"
            lab.current().later(_PROVISIONING, lambda record=record: record.update(State="active"))
    body = answer.body.replace(b"<Code>active</Code>", b"<Code>provisioning</Code>", 1)
    headers = {k: v for k, v in answer.headers.items() if k.lower() != "content-length"}
    return Answer(answer.status, body, headers)


def _after_delete(call: Call, answer: Answer) -> Answer:
    """Listeners and their rules go with their load balancer."""
    if call.parameters.get("Version", _V2) == _V2 and answer.status < 300:
        service, arn = _service(), call.parameters.get("LoadBalancerArn")
        listeners = service._listeners
        gone = [key for key, item in listeners.items() if item.get("LoadBalancerArn") == arn]
        for listener in gone:
            listeners.pop(listener, None)
            rules = service._rules
            for rule in [k for k, item in rules.items() if item.get("ListenerArn") == listener]:
                rules.pop(rule, None)
    return answer


def started() -> None:
    """After a restart: what was provisioning is active."""
    for record in _service()._lbs._data.values():
        record["State"] = "active"


_BEFORE: Mapping[str, Callable[[Call], Answer | None]] = {
    "DeleteLoadBalancer": _delete_balancer,
    "DeleteTargetGroup": _delete_group,
    "DeregisterTargets": _deregister,
    "DescribeTargetHealth": _health,
    "RegisterTargets": _register,
}
EXTENSION = Extension(
    types=(LoadBalancer(), TargetGroup()),
    hooks=(
        ApiHook("elasticloadbalancing", frozenset(_BEFORE), before=_before),
        ApiHook("elasticloadbalancing", frozenset({"CreateLoadBalancer"}), after=_after_create),
        ApiHook("elasticloadbalancing", frozenset({"DeleteLoadBalancer"}), after=_after_delete),
    ),
    started=started,
)
