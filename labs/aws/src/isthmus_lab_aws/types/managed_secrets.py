"""The secrets in which database services keep the administrator's password, where asked to."""

from __future__ import annotations

import json
from dataclasses import dataclass

from isthmus_lab_aws import ministack
from isthmus_lab_aws.resource import Place


@dataclass(frozen=True, slots=True)
class Administrator:
    """Whose log-in a managed secret holds."""

    username: str
    password: str


def create(place: Place, name: str, administrator: Administrator, description: str) -> str:
    """Keep a log-in in a new secret, in the form that AWS gives it; returns the secret's ARN."""
    content = {"username": administrator.username, "password": administrator.password}
    with ministack.at(place):
        secretsmanager = ministack.service("secretsmanager")
        arn = secretsmanager.create_secret_in_process(
            name, json.dumps(content), description=description
        )
    return str(arn)


def delete(place: Place, arn: str | None) -> None:
    """Remove a managed secret together with the thing it belongs to, if it has one."""
    if arn:
        with ministack.at(place):
            ministack.service("secretsmanager").delete_secret_in_process(arn)
