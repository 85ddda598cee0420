"""Credentials of one binding each: made by a grant, gone with its revocation.

A strategy is a file here. All are named after the grant's id, so that a repeated grant finds what a
crash has left, and tagged, so that nothing foreign is ever touched.
"""

from collections.abc import Mapping

from isthmus.drivers.aws.credentials.identities import IamRole, IamUser
from isthmus.drivers.aws.credentials.sql_user import SqlUser
from isthmus.drivers.aws.session import Aws
from isthmus.ports import CredentialSource
from isthmus.runtime.static_credentials import Static


def sources(aws: Aws) -> Mapping[str, CredentialSource]:
    """Return every strategy, by its name in an offering."""
    return {
        "sql-user": SqlUser(aws),
        "iam-user": IamUser(aws),
        "iam-role": IamRole(aws),
        "static": Static(),
    }
