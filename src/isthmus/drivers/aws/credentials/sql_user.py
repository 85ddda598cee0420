"""A database user of its own for every binding; the master password is only ever used by us.

This file reads the offering's specification and fetches what is needed; the SQL of each engine is
in a file of its own. The databases are reached directly, with TLS that checks the server's name.
"""

import hashlib
import secrets
import string
from collections.abc import Mapping
from typing import Final, cast

import orjson

from isthmus.api.meta import Json
from isthmus.drivers.aws.credentials.authorities import Authorities
from isthmus.drivers.aws.credentials.database import Dialect, Login, SqlAccount
from isthmus.drivers.aws.session import Aws
from isthmus.errors import InvalidSpec, NotFound
from isthmus.ports import Grant

_PASSWORD_LETTERS: Final = string.ascii_letters + string.digits
_PASSWORD_LENGTH: Final = 32
_ENGINES: Final = ("postgresql", "mysql", "redshift")
_SSL_MODE: Final = {"mysql": "VERIFY_IDENTITY"}


def user_name(grant: Grant) -> str:
    """Return the user's name: derived, and short enough for every engine (MySQL takes 32)."""
    return f"isthmus_{hashlib.sha256(grant.id.encode()).hexdigest()[:20]}"


def new_password() -> str:
    """Return a password that every engine takes and that no URI needs to escape."""
    letters = "".join(secrets.choice(_PASSWORD_LETTERS) for _ in range(_PASSWORD_LENGTH - 3))
    return f"Aa1{letters}"  # Redshift wants one of each.


class SqlUser:
    """See ``ports.CredentialSource``."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._authorities = Authorities(aws.settings)

    async def grant(self, grant: Grant) -> Mapping[str, str]:
        """Make the user, or give it a new password where it is there already."""
        login, dialect = await self._login(grant.spec), self._dialect(grant.spec)
        account = _account(grant, new_password())
        await self._aws.run(lambda: dialect.grant(login, account))
        return {
            "username": account.name,
            "password": account.password,
            "host": login.host,
            "port": str(login.port),
            "database": login.database,
            "sslmode": _SSL_MODE.get(_engine(grant.spec), "verify-full"),
            "ca.crt": login.authorities,
        }

    async def revoke(self, grant: Grant) -> None:
        """Drop the user; where the master's secret is gone, the database is gone too."""
        dialect = self._dialect(grant.spec)
        try:
            login = await self._login(grant.spec)
        except NotFound:
            return
        account = _account(grant, "")
        await self._aws.run(lambda: dialect.revoke(login, account))

    async def _login(self, spec: Json) -> Login:
        username, password = await self._admin(spec)
        return Login(
            host=_text(spec, "host"),
            port=int(_text(spec, "port")),
            database=_text(spec, "database"),
            username=username,
            password=password,
            authorities=await self._authorities.of(spec, _engine(spec)),
        )

    async def _admin(self, spec: Json) -> tuple[str, str]:
        """Return name and password of the master: of its secret, or a temporary one of Redshift."""
        admin = cast("Json", spec.get("admin") or {})
        if admin.get("secretArn"):
            return await self._of_secret(str(admin["secretArn"]))
        database = _text(spec, "database")
        if admin.get("cluster"):
            answer = await self._aws.call(
                "redshift",
                "get_cluster_credentials",
                ClusterIdentifier=str(admin["cluster"]),
                DbUser=str(admin.get("user") or ""),
                DbName=database,
                AutoCreate=False,
            )
            return str(answer["DbUser"]), str(answer["DbPassword"])
        if admin.get("workgroup"):
            answer = await self._aws.call(
                "redshift-serverless",
                "get_credentials",
                workgroupName=str(admin["workgroup"]),
                dbName=database,
            )
            return str(answer["dbUser"]), str(answer["dbPassword"])
        raise InvalidSpec(
            "credentials.spec.admin: name the master's secret by secretArn, or for Redshift a "
            "cluster and user, or a workgroup."
        )

    async def _of_secret(self, arn: str) -> tuple[str, str]:
        answer = await self._aws.call("secretsmanager", "get_secret_value", SecretId=arn)
        try:
            content = cast("dict[str, str]", orjson.loads(str(answer["SecretString"])))
            return content["username"], content["password"]
        except (ValueError, KeyError, TypeError):
            # Without the cause: its text could hold a piece of the secret.
            raise InvalidSpec(
                "credentials.spec.admin.secretArn: the secret has no JSON with username and "
                "password."
            ) from None

    def _dialect(self, spec: Json) -> Dialect:
        """Return the engine's SQL; each imports its client library when it is needed."""
        match _engine(spec):
            case "postgresql":
                from isthmus.drivers.aws.credentials.postgresql import PostgreSql

                return PostgreSql()
            case "mysql":
                from isthmus.drivers.aws.credentials.mysql import MySql

                return MySql()
            case _:
                from isthmus.drivers.aws.credentials.redshift import dialect

                return dialect(self._aws, spec)


def _account(grant: Grant, password: str) -> SqlAccount:
    grants = str(grant.spec.get("grants") or "readwrite")
    if grants not in ("readwrite", "readonly"):
        raise InvalidSpec("credentials.spec.grants: write readwrite or readonly.")
    schemas = cast("list[str]", grant.spec.get("schemas") or ["public"])
    return SqlAccount(
        name=user_name(grant),
        password=password,
        readonly=grants == "readonly",
        schemas=tuple(schemas),
        mark=f"isthmus.dev binding {grant.id}",
    )


def _engine(spec: Json) -> str:
    engine = str(spec.get("engine") or "")
    if engine not in _ENGINES:
        raise InvalidSpec(f"credentials.spec.engine: write one of {', '.join(_ENGINES)}.")
    return engine


def _text(spec: Json, name: str) -> str:
    value = spec.get(name)
    if value in (None, ""):
        raise InvalidSpec(f"credentials.spec.{name}: it is empty.")
    return str(value)
