"""The server: opens the data folder, answers ASGI requests, and listens with TLS when asked to."""

import asyncio
import gc
import logging
import time
from functools import partial

import orjson

from isthmus.apiserver import (
    crds,
    datafolder,
    defaults,
    health,
    key_rotation,
    kinds,
    maintenance,
    metrics,
)
from isthmus.apiserver.aggregation import Aggregation
from isthmus.apiserver.audit import AuditLog, Seen
from isthmus.apiserver.authentication import CALLER, Authentication
from isthmus.apiserver.authn import TokenFile, User
from isthmus.apiserver.config import (
    AsgiApp,
    Message,
    Receive,
    RequestRecord,
    Scope,
    Send,
    ServerConfig,
)
from isthmus.apiserver.discovery import VERSION, Discovery
from isthmus.apiserver.errors import ApiError, method_not_allowed
from isthmus.apiserver.expiry import Expiry
from isthmus.apiserver.garbage import Collector
from isthmus.apiserver.grants import Grants
from isthmus.apiserver.handlers import Handlers
from isthmus.apiserver.history import Event
from isthmus.apiserver.http import Disconnected, Request, Response, takes_yaml_only
from isthmus.apiserver.joined import PIECES
from isthmus.apiserver.jsonvalues import Json
from isthmus.apiserver.listening import Listener
from isthmus.apiserver.maintenance import Download, Maintenance
from isthmus.apiserver.naming import Naming, claimed
from isthmus.apiserver.objects import Objects
from isthmus.apiserver.oidc import OidcTokens
from isthmus.apiserver.openapi import OpenApi
from isthmus.apiserver.quotas import Quotas
from isthmus.apiserver.rbac import Action, Authorizer
from isthmus.apiserver.resources import Registry, Resource
from isthmus.apiserver.reviews import Reviews
from isthmus.apiserver.rules import builtin_rules
from isthmus.apiserver.service_accounts import ServiceAccountTokens
from isthmus.apiserver.store import Collection, StorageFailed, Store
from isthmus.apiserver.targets import Target, parse_path, verb_of
from isthmus.apiserver.token_secrets import TokenSecrets
from isthmus.apiserver.unserved import unserved_path
from isthmus.apiserver.watching import Watch

_LOG = logging.getLogger(__name__)
_COLLECT_AFTER = (20_000, 20, 50)
"""How many new objects, and younger collections, bring a collection of garbage about."""
_NOBODY = User("", frozenset())
_PATHS = (*health.PATHS, "/metrics", "/openapi/v2", "/openapi/v3", "/version")


class ApiServer:
    """An API server over one data folder. Make it with `ApiServer.open`."""

    def __init__(self, config: ServerConfig, store: Store, tokens: TokenFile) -> None:
        self._config = config
        self._store = store
        self._tokens = tokens
        accounts = ServiceAccountTokens(store, tokens.key)
        self._registry = Registry()
        self._authorizer = Authorizer(store)
        self._authentication = Authentication(
            tokens, accounts, OidcTokens(config.issuers), self._authorizer
        )
        definitions = store.collection(kinds.CRD_COLLECTION)
        rules = builtin_rules(Grants(self._authorizer).check, partial(claimed, definitions))
        self._objects = Objects(store, self._registry, rules)
        self._collector = Collector(store, self._objects)
        self._aggregation = Aggregation(store, self._objects)
        self._naming = Naming(store, self._objects)
        self._quotas = Quotas(store, self._objects)
        self._objects.limit = self._quotas.admit
        self._token_secrets = TokenSecrets(store, self._objects, accounts)
        self._expiry = Expiry(store, self._objects, config.limits.event_seconds)
        self._maintenance = Maintenance(store, config.data_dir, self._authorizer)
        self._health = health.Health(store)
        self._discovery = Discovery(self._registry)
        self._openapi = OpenApi(self._registry)
        self._metrics = metrics.Metrics(store, self._registry)
        self._handlers = Handlers(
            store, self._registry, self._objects, self._authorizer,
            Reviews(self._authorizer, self._authentication.holder), accounts, config.limits,
        )  # fmt: skip
        self._audit = AuditLog(config.audit) if config.audit else None
        self._extra_routes = [
            (prefix, prefix.rstrip("/") + "/", app) for prefix, app in config.extra_routes.items()
        ]
        self._stopping = asyncio.Event()
        self._listening: Listener | None = None
        self.app: AsgiApp = self._answer
        """The ASGI application, for a server or to be called in-process."""

    @classmethod
    async def open(cls, config: ServerConfig) -> "ApiServer":
        """Open or make the data folder.

        Raises:
            StorageFailed: The database cannot be opened, or something of the folder was lost.
        """
        folder = config.data_dir
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sealed = frozenset((kinds.SECRET_COLLECTION,))
        await asyncio.to_thread(datafolder.check, folder, sealed)
        key = folder / datafolder.SECRETS_KEY
        box, fresh = datafolder.open_box(folder)
        store = await Store.open(folder / datafolder.DATABASE, box, sealed, config.limits)
        datafolder.keep_key(folder, fresh)
        await store.in_thread(lambda database: key_rotation.finish(database, key))
        tokens = TokenFile(
            folder / datafolder.TOKENS, folder / datafolder.TOKENS_KEY, config.admin_token
        )
        server = cls(config, store, tokens)
        await server._start()
        return server

    async def _start(self) -> None:
        served: dict[str, list[Resource]] = {}
        for resource in kinds.builtin_resources():
            served.setdefault(resource.collection, []).append(resource)
        for collection, resources in served.items():
            self._registry.replace(collection, resources)
        for record in self._store.collection(kinds.CRD_COLLECTION).records.values():
            try:
                self._serve_definition(orjson.loads(record.body), self._store.version)
            except (ValueError, LookupError, TypeError):
                # One kind that cannot be served must not keep all the others from being so.
                _LOG.exception("a definition cannot be served", extra={"key": record.key})
        self._store.listen(self._notice)
        defaults.ensure(self._objects)
        await self._store.commit()
        self._collector.start()
        self._expiry.start()
        self._aggregation.start()
        self._naming.start()
        self._quotas.start()
        self._token_secrets.start()
        # What is loaded now stays: keeping it out of every later collection spares long pauses.
        # What comes later mostly dies young and in no cycle: rarer collections find as much.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECT_AFTER)

    def _notice(self, collection: Collection, event: Event) -> None:
        """Serve or forget a kind as soon as its definition is committed."""
        if collection.name != kinds.CRD_COLLECTION:
            return
        definition: Json = orjson.loads(event.record.body)
        if event.type == "DELETED":
            home = crds.collection_of(definition)
            self._registry.replace(home, [])
            self._store.collection(home).forget()
        elif event.previous is None or crds.is_served_otherwise(
            definition, orjson.loads(event.previous.body)
        ):
            self._serve_definition(definition, event.record.version)

    def _serve_definition(self, definition: Json, version: int) -> None:
        """Serve a kind from now on as its definition of this version says."""
        schemas, home = crds.schemas_of(definition), crds.collection_of(definition)
        self._registry.replace(home, crds.resources_of(definition, schemas))
        read = crds.read_by(schemas)
        self._store.collection(home).define(read, version, self._store.allocated)

    def issue_token(self, user: str, groups: list[str], *, rotate: bool = False) -> str:
        """The token of a user, the same one at every call.

        Args:
            user: Name of the user.
            groups: Groups of the user from now on.
            rotate: Make a new token and refuse the old one.
        """
        return self._tokens.issue(user, groups, rotate=rotate)

    # --- requests ------------------------------------------------------------------------------

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        exchange = _Exchange(scope, send)
        try:
            await self._route(exchange, receive)
        except Disconnected:
            exchange.code = exchange.code or 499
        except ApiError as error:
            await exchange.refuse(error)
        except StorageFailed as error:
            _LOG.exception("storage refused a request")
            await exchange.refuse(ApiError(503, "ServiceUnavailable", str(error)))
        except Exception:  # noqa: BLE001 - the last resort: log it, say nothing of it
            _LOG.exception("unexpected error while answering a request")
            await exchange.refuse(ApiError(500, "InternalError", "Internal error occurred"))
        finally:
            seconds = exchange.seconds()
            self._metrics.observe(exchange.verb, exchange.target, exchange.code, seconds)
            if self._config.observer is not None:
                self._config.observer(exchange.record(seconds))
            if self._audit is not None:
                self._audit.record(exchange.seen("ResponseComplete"))

    async def _route(self, exchange: "_Exchange", receive: Receive) -> None:
        path = exchange.path
        if path in health.PATHS or path.startswith(health.BELOW):
            query = exchange.scope.get("query_string", b"")
            stopping = self._stopping.is_set()
            answer = await self._health.answer(path, query, stopping=stopping)
            await answer.send(exchange.send)
            return
        public = path == "/version"
        if not public or Authentication.is_tried(exchange.scope):
            exchange.user = await self._authentication.user(exchange.scope)
        if public:
            _check_method(exchange.scope)
            await Response.json(VERSION).send(exchange.send)
            return
        user = exchange.user
        for prefix, below, app in self._extra_routes:
            if path == prefix or path.startswith(below):
                await app({**exchange.scope, "isthmus.user": user}, receive, exchange.send)
                return
        request = Request(exchange.scope, receive, user, self._config.limits)
        exchange.request = request
        answer = await self._dispatch(exchange, request)
        # What we answer ourselves need not be looked at as it goes out.
        if isinstance(answer, Response):
            exchange.code = answer.code
            await answer.send(exchange.caller, pieces=PIECES in exchange.scope)
        elif isinstance(answer, Watch):
            exchange.code = 200
            if self._audit is not None:
                self._audit.record(exchange.seen("ResponseStarted"))
            await answer.respond(exchange.caller, self._stopping)
        else:
            await answer.send(exchange.send)

    async def _dispatch(
        self, exchange: "_Exchange", request: Request
    ) -> Response | Watch | Download:
        parts = exchange.path[1:].split("/")
        root = parts[0]
        if root in ("api", "apis") and len(parts) <= (2 if root == "api" else 3):
            _check_method(exchange.scope)
            return self._discovery.answer(request, parts)
        if root in ("api", "apis"):
            place = 2 if root == "api" else 3
            older = parts[place] == "watch" and len(parts) > place + 1
            if older:  # the older way to ask for a watch
                del parts[place]
            target = parse_path(parts)
            watch = older or (request.flag("watch") and not target.name)
            verb = verb_of(request.method, target, watch=watch)
            exchange.verb, exchange.target = verb, target
            return await self._handlers.answer(request, target, verb)
        if root == "openapi":
            return await self._openapi.answer(request, parts)
        if root == maintenance.PREFIX:
            return await self._maintenance.answer(request, exchange.path)
        if exchange.path == "/metrics":
            self._authorizer.require(request.user, Action("get", path="/metrics"))
            more = self._config.metrics() if self._config.metrics is not None else b""
            return Response(self._metrics.text() + more, content_type=metrics.CONTENT_TYPE)
        verb = request.method.lower()
        self._authorizer.require(request.user, Action(verb, path=exchange.path))
        if exchange.path == "/" and verb == "get":
            return Response.json({"paths": self._paths()})
        raise unserved_path(exchange.path)

    def _paths(self) -> list[str]:
        """Where there is something to be read, as somebody lost may ask."""
        return sorted((*self._discovery.paths(), *_PATHS, *self._config.extra_routes))

    # --- listening -----------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where the server listens; known once `serve` has been called."""
        return self._listener().url

    @property
    def ca_pem(self) -> str:
        """The certificate authority that clients must trust."""
        return self._listener().ca_pem

    def _listener(self) -> Listener:
        if self._listening is None:
            self._listening = Listener(self._config)
            self._token_secrets.trust(self._listening.ca_pem)
        return self._listening

    async def serve(self) -> None:
        """Answer on the network until `stop` or `close` is called."""
        await self._listener().serve(self.app)

    def stop(self) -> None:
        """End watches and let `serve` return."""
        self._stopping.set()
        if self._listening is not None:
            self._listening.stop()

    async def close(self) -> None:
        """Stop, finish what was acknowledged, and close the database."""
        self.stop()
        await self._collector.stop()
        await self._expiry.stop()
        await self._aggregation.stop()
        await self._naming.stop()
        await self._quotas.stop()
        await self._token_secrets.stop()
        await self._store.close()
        if self._audit is not None:
            self._audit.close()
        gc.unfreeze()


def _check_method(scope: Scope) -> None:
    """Refuse whatever does not read.

    Raises:
        ApiError: 405.
    """
    if scope["method"] != "GET":
        raise method_not_allowed()


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


class _Exchange:
    """One request and what becomes of it."""

    __slots__ = (
        "_received", "_started", "caller", "code", "path", "request", "scope", "target", "user",
        "verb",
    )  # fmt: skip

    def __init__(self, scope: Scope, send: Send) -> None:
        path: str = scope["path"]
        self.scope = scope
        self.path = path.rstrip("/") or "/"
        self.user = _NOBODY
        self.verb = ""
        self.target: Target | None = None
        self.request: Request | None = None
        self.code = 0
        self.caller = send
        self._received = time.time()
        self._started = time.perf_counter()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.code = message["status"]
        await self.caller(message)

    async def refuse(self, error: ApiError) -> None:
        if not self.code:
            answer = Response.json(error.status(), error.code)
            answer.warnings = error.warnings
            accept = dict(self.scope["headers"]).get(b"accept", b"").decode("latin-1")
            answer = await answer.in_yaml() if takes_yaml_only(accept) else answer
            await answer.send(self.send)

    def seconds(self) -> float:
        return time.perf_counter() - self._started

    def record(self, seconds: float) -> RequestRecord:
        resource = self.target.qualified if self.target else ""
        return RequestRecord(self.verb, resource, self.code, seconds, self.user.name, self.path)

    def seen(self, stage: str) -> Seen:
        caller: User = self.scope.get(CALLER, _NOBODY)
        verb = self.verb or self.scope["method"].lower()
        return Seen(
            self.scope, verb, self.target, caller, self.user, self.code, stage, self._received,
            self.request,
        )  # fmt: skip
