"""The accounts of the lab and their administrators, whose keys are in the state folder.

AWS gives the first credentials of an account outside its API; so does the lab: each account has an
IAM user `lab-admin` with all rights, whose access key stands in `credentials.json` (mode 0600).
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from xml.etree import ElementTree

from isthmus_lab_aws import gateway
from isthmus_lab_aws.resource import Place

ADMINISTRATOR = "lab-admin"
DEFAULT_ACCOUNTS: tuple[str, ...] = ("111122223333", "444455556666")
"""The account numbers that AWS's documentation uses in examples."""

_EVERYTHING = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    }
)
_ACCOUNT = re.compile(r"\d{12}")


class Accounts:
    """Known accounts with their administrator's access key id and secret."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._keys: dict[str, dict[str, str]] = {}
        if file.exists():
            self._keys = json.loads(file.read_text())["accounts"]

    def keys(self, account: str) -> dict[str, str]:
        """`access_key_id` and `secret_access_key` of an account's administrator."""
        return self._keys[account]

    def numbers(self) -> list[str]:
        """The accounts there are."""
        return sorted(self._keys)

    async def ensure(self, account: str) -> dict[str, str]:
        """The administrator's keys, made now where the account is new."""
        if not _ACCOUNT.fullmatch(account):
            raise ValueError(f"account {account!r} is not a number of twelve digits")
        if account not in self._keys:
            self._keys[account] = await _make_administrator(Place(account, "us-east-1"))
            self._write()
        return self._keys[account]

    def _write(self) -> None:
        fresh = self._file.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"accounts": self._keys}, file, indent=1)
        fresh.replace(self._file)


async def _make_administrator(place: Place) -> dict[str, str]:
    await gateway.call_service(place, "iam", "CreateUser", UserName=ADMINISTRATOR)
    await gateway.call_service(
        place,
        "iam",
        "PutUserPolicy",
        UserName=ADMINISTRATOR,
        PolicyName="everything",
        PolicyDocument=_EVERYTHING,
    )
    body = await gateway.call_service(place, "iam", "CreateAccessKey", UserName=ADMINISTRATOR)
    found = {
        element.tag.rpartition("}")[2]: element.text or ""
        for element in ElementTree.fromstring(body).iter()  # Our own answer.
    }
    return {
        "access_key_id": found["AccessKeyId"],
        "secret_access_key": found["SecretAccessKey"],
    }
