"""Errors and plain answers in the protocol that the caller's SDK reads."""

from __future__ import annotations

import json
import uuid
from typing import Any
from xml.sax.saxutils import escape

from isthmus_lab_aws.resource import Answer, Call


def json_answer(document: Any, status: int = 200, content_type: str = "application/json") -> Answer:
    """A JSON document."""
    return Answer(status, json.dumps(document).encode(), {"content-type": content_type})


def xml_answer(action: str, result: str, namespace: str = "") -> Answer:
    """A query-protocol answer: `result` is the XML inside `<ActionResult>`."""
    space = f' xmlns="{namespace}"' if namespace else ""
    body = (
        f"<{action}Response{space}><{action}Result>{result}</{action}Result>"
        f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata>"
        f"</{action}Response>"
    )
    return Answer(200, body.encode(), {"content-type": "text/xml"})


def error_answer(call: Call, code: str, message: str, status: int = 400) -> Answer:
    """An error as the called service's protocol has it."""
    if "x-amz-target" in call.headers or "json" in call.headers.get("content-type", ""):
        return Answer(
            status,
            json.dumps({"__type": code, "message": message}).encode(),
            {"content-type": "application/x-amz-json-1.1", "x-amzn-errortype": code},
        )
    request_id, text = str(uuid.uuid4()), escape(message)
    inner = f"<Code>{code}</Code><Message>{text}</Message>"
    if call.service == "s3":
        body = f"<Error>{inner}<RequestId>{request_id}</RequestId></Error>"
    elif call.service == "ec2":
        body = (
            f"<Response><Errors><Error>{inner}</Error></Errors>"
            f"<RequestID>{request_id}</RequestID></Response>"
        )
    else:
        kind = "Sender" if status < 500 else "Receiver"
        body = (
            f"<ErrorResponse><Error><Type>{kind}</Type>{inner}</Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        )
    return Answer(
        status,
        f'<?xml version="1.0" encoding="UTF-8"?>{body}'.encode(),
        {"content-type": "text/xml", "x-amzn-requestid": request_id},
    )
