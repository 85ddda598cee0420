"""What offerings ask of AWS exists: operations, their arguments, the paths into their answers."""

import re
from functools import cache
from typing import Any

import jmespath
import pytest
from botocore import xform_name
from botocore.session import Session
from botocore.validate import ParamValidator

from isthmus.core import schemas
from isthmus.core.render import placeholders, substitute
from tests.catalog_files import NAMES, offering

STEP_FIELDS = {
    "empty-bucket": "bucket",
    "purge-zone": "zone",
    "disable-distribution": "distribution",
}
SAMPLES = {"string": "text", "integer": 300, "number": 1, "boolean": True, "array": ["text"]}
SECRET_KEYS = {
    "athena": {"workgroup", "database", "output-location", "jdbc-url"},
    "aurora-mysql": {"host", "port", "database", "username", "password", "uri", "reader-host"},
    "aurora-postgresql": {"host", "port", "database", "reader-host", "sslmode", "ca.crt", "uri"},
    "cloudfront": {"distribution-id", "domain", "url"},
    "elb-application": {"dns-name", "hosted-zone-id", "target-group-arn", "url"},
    "elb-network": {"dns-name", "hosted-zone-id", "target-group-arn", "url"},
    "elb-classic": {"dns-name", "hosted-zone-id", "url"},
    "emr": {"cluster-id", "master-dns", "log-uri"},
    "redshift": {"host", "port", "database", "username", "password", "jdbc-url", "cluster-id"},
    "redshift-serverless": {"host", "port", "username", "password", "jdbc-url", "cluster-id"},
    "route53": {"zone-id", "domain", "name-servers"},
}
"""What consumers of these services rely on."""


def calls() -> list[Any]:
    found = []
    for name in NAMES:
        stack = offering(name).spec.stacks.get("aws")
        for action, spec in (stack.actions if stack else {}).items():
            parts = [*spec.get("requires", []), *spec.get("calls", []), spec.get("wait")]
            found += [pytest.param(name, action, p, id=_id(name, action, p)) for p in parts if p]
        for step in stack.pre_delete if stack else ():
            if "call" in step:
                found.append(pytest.param(name, "", step["call"], id=_id(name, "", step["call"])))
    return found


def _id(name: str, action: str, call: Any) -> str:
    return f"{name}-{action or 'preDelete'}-{call['operation']}"


@cache
def service(name: str) -> Any:
    return Session().get_service_model(name)


def operation(call: Any) -> Any:
    model = service(call["service"])
    names = {xform_name(n): n for n in model.operation_names}
    assert call["operation"] in names, f"{call['service']} has no {call['operation']}"
    return model.operation_model(names[call["operation"]])


@pytest.mark.parametrize(("name", "action", "call"), calls())
def test_a_call_is_one_that_aws_knows(name, action, call):
    model = operation(call)
    arguments = _filled(name, action, call.get("arguments", {}))
    tokens = {m: "t" * 36 for m in model.idempotent_members}
    report = ParamValidator().validate(tokens | arguments, model.input_shape)
    assert not report.has_errors(), report.generate_report()
    for path in _paths(name, action, call):
        root = re.findall(r"[A-Za-z][A-Za-z0-9]*", re.sub(r"^(length|contains)\(", "", path))[0]
        jmespath.compile(path)
        assert root in model.output_shape.members, f"{path}: the answer has no {root}"


def _paths(name: str, action: str, call: Any) -> list[str]:
    own = [call["path"]] if "path" in call else []
    own += [call["message"]] if "until" in call and "message" in call else []
    own += call.get("result", {}).values()
    spec = offering(name).spec.stacks["aws"].actions.get(action, {})
    last = spec.get("wait") or next(iter(spec.get("calls", [])[-1:]), None)
    return own + (list(spec.get("result", {}).values()) if call == last else [])


def _filled(name: str, action: str, arguments: Any) -> Any:
    spec = offering(name).spec
    inputs = next((a.parameters for a in spec.actions if a.name == action), {})
    scope: dict[str, Any] = {used: "text" for _, used in placeholders(arguments)}
    # The driver fills these; the longest form that a service asks for is an ARN.
    later = set(re.findall(r"\$\{(result\.[A-Za-z]+Arn)\}", str(arguments)))
    for key, schema in schemas.properties(inputs).items():
        scope[f"action.{key}"] = SAMPLES[schema["type"]]
    filled = substitute(arguments, scope)
    return {k: "arn:" + "x" * 40 if str(v)[2:-1] in later else v for k, v in filled.items()}


@pytest.mark.parametrize("name", [n for n in NAMES if "aws" in offering(n).spec.stacks])
def test_steps_before_deletion_are_whole(name):
    for stack in offering(name).spec.stacks.values():
        for step in stack.pre_delete:
            field = STEP_FIELDS.get(step["step"], "call")
            assert set(step) == {"step", field}


@pytest.mark.parametrize("name", sorted(SECRET_KEYS))
def test_consumers_find_the_keys_that_they_rely_on(name):
    spec = offering(name).spec
    for stack in spec.stacks.values():
        first = stack.credentials[0]
        assert {*spec.binding.keys, *first.keys} >= SECRET_KEYS[name]
