"""What an embedding program may decide about the server."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isthmus.apiserver.audit_policy import Policy
from isthmus.apiserver.authentication_config import Issuer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One answered request, for metrics and access logs; it holds no body and no token.

    Attributes:
        verb: Kubernetes verb (`get`, `list`, `watch`, `create`, ...), or `` for other paths.
        resource: `plural.group`, with `/subresource` where one is meant, or ``.
        code: HTTP status code.
        seconds: From the first byte to the end of the answer.
        user: Name of the caller, or `` when unknown.
        path: Path without the query.
    """

    verb: str
    resource: str
    code: int
    seconds: float
    user: str
    path: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that keep one caller from exhausting the server.

    Attributes:
        body_bytes: Longest request body.
        nesting: Deepest nesting of JSON or YAML.
        history_events: Changes kept per resource for watches that resume.
        history_bytes: Bytes of bodies kept per resource for the same.
        bookmark_seconds: Time between bookmarks on a quiet watch.
        event_seconds: Time for which an Event is kept after its last change.
        connections: Connections at a time; fewer where the process may open fewer files.
        request_seconds: Time in which a request must have arrived, from its first byte on.
        stalled_seconds: Time after which an answer that nobody takes is broken off.
    """

    body_bytes: int = 3 * 1024 * 1024
    nesting: int = 128
    history_events: int = 8192
    history_bytes: int = 32 * 1024 * 1024
    bookmark_seconds: float = 30.0
    event_seconds: float = 3600.0
    connections: int = 4096
    request_seconds: float = 60.0
    stalled_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class AuditConfig:
    """Where the audit log is kept and what goes into it.

    Attributes:
        path: The file; older ones get a number behind their name.
        policy: What is written.
        file_bytes: A file that would become longer is put aside.
        kept_files: How many are kept aside.
    """

    path: Path
    policy: Policy = field(default_factory=Policy)
    file_bytes: int = 100 * 1024 * 1024
    kept_files: int = 10


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where the server keeps its data and listens, and what else it serves.

    Attributes:
        data_dir: Folder of the database, the keys and the token file; made with mode 0700.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        admin_token: A token that acts as `admin` in `system:masters`, besides the token file.
        client_ca: File with the certificate authorities of client certificates; None: none are
            accepted.
        issuers: Whose OpenID Connect tokens are accepted.
        audit: The audit log; None: there is none.
        extra_routes: ASGI applications by path prefix. They are called for authenticated users
            only, and find the `User` in `scope["isthmus.user"]`.
        metrics: What `/metrics` says besides the API's own, in Prometheus' text format.
        observer: Called once for every answered request.
        limits: Bounds on requests and history.
    """

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 0
    admin_token: str | None = None
    client_ca: Path | None = None
    issuers: tuple[Issuer, ...] = ()
    audit: AuditConfig | None = None
    extra_routes: Mapping[str, AsgiApp] = field(default_factory=dict[str, AsgiApp])
    metrics: Callable[[], bytes] | None = None
    observer: Callable[[RequestRecord], None] | None = None
    limits: Limits = field(default_factory=Limits)
