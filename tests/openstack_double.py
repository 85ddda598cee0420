"""A small OpenStack that answers over HTTP: what is needed to clear up after a cluster.

It behaves as the services do (https://docs.openstack.org/api-ref/): what is deleted goes a moment
later, what is in use stays and says so. Its calls stand in one row, of which one can be struck.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from isthmus.drivers.openstack.session import Cloud
from isthmus.drivers.openstack.settings import parse
from isthmus.ports import Endpoint
from tests.heat_double import Stacks

PROJECT = "0123456789abcdef0123456789abcdef"
ROOTS = {
    "compute": "/compute/v2.1",
    "network": "/network/v2.0",
    "block-storage": f"/volume/v3/{PROJECT}",
    "load-balancer": "/load-balancer",
    "container-infra": "/container-infra/v1",
    "orchestration": f"/orchestration/v1/{PROJECT}",
}
VERSIONS = {"/compute/v2.1": ("v2.1", "2.96"), "/volume/v3": ("v3.0", "3.71")}
"""Of services that the SDK asks what they can, by path."""
Thing = dict[str, Any]
FLAVORS: list[Thing] = [
    {"id": "1", "name": "m1", "vcpus": 1, "ram": 512},
    {"id": "2", "name": "m2", "vcpus": 4, "ram": 2048},
]
"""Of Nova."""
Answer = tuple[int, Any]


@dataclass
class Double:
    """One project. Fill its lists, look at them afterwards."""

    servers: list[Thing] = field(default_factory=list[Thing])
    server_groups: list[Thing] = field(default_factory=list[Thing])
    networks: list[Thing] = field(default_factory=list[Thing])
    subnets: list[Thing] = field(default_factory=list[Thing])
    ports: list[Thing] = field(default_factory=list[Thing])
    routers: list[Thing] = field(default_factory=list[Thing])
    floatingips: list[Thing] = field(default_factory=list[Thing])
    security_groups: list[Thing] = field(default_factory=list[Thing])
    security_group_rules: list[Thing] = field(default_factory=list[Thing])
    volumes: list[Thing] = field(default_factory=list[Thing])
    snapshots: list[Thing] = field(default_factory=list[Thing])
    loadbalancers: list[Thing] = field(default_factory=list[Thing])
    listeners: list[Thing] = field(default_factory=list[Thing])
    pools: list[Thing] = field(default_factory=list[Thing])
    clusters: list[Thing] = field(default_factory=list[Thing])
    """Of Magnum, each with its groups: it is busy until it has been looked at again."""
    heat: dict[str, Thing] = field(default_factory=dict[str, Any])
    """What Heat answers, by path and query."""
    orders: list[Thing] = field(default_factory=list[Thing])
    """What Heat was asked to make or to change."""
    stacks: Stacks | None = None
    """Heat's stacks where it is to behave, instead of ``heat``."""
    services: tuple[str, ...] = tuple(ROOTS)
    delegates: bool = True
    """Whether Keystone lets an application credential make trusts."""
    limits: Thing = field(default_factory=dict[str, Any])
    """Of Nova and Cinder."""
    quotas: dict[str, Thing] = field(default_factory=dict[str, Thing])
    """Of Neutron and Octavia, by service."""
    page: int = 500
    """So many volumes are listed at once."""
    strike: int = 0
    """Number of the call that fails, from 1; 0: none."""
    lost_answer: bool = False
    """It fails after its effect."""
    failure: tuple[int, dict[str, str]] = (503, {})
    """Status and headers of it."""
    calls: list[str] = field(default_factory=list[str])
    logins: int = 0
    port: int = 0

    def become(self, other: "Double") -> None:
        """Be another one, at the same address."""
        vars(self).update(vars(other) | {"port": self.port, "logins": self.logins})

    def answer(self, method: str, url: str, body: Thing) -> tuple[int, Any, dict[str, str]]:
        """Answer one request: status, body, headers."""
        parts = urlsplit(url)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path == "/v3/auth/tokens":
            self.logins += 1
            return 201, self._token(), {"X-Subject-Token": f"token-{self.logins}"}
        if parts.path == "/v3/OS-TRUST/trusts":
            return (200 if self.delegates else 403), {"trusts": []}, {}
        service = next((s for s, root in ROOTS.items() if parts.path.startswith(f"{root}/")), "")
        if not service:
            return *self._version(parts.path.rstrip("/")), {}
        path = parts.path.removeprefix(ROOTS[service])
        self.calls.append(f"{method} {service} {path}")
        struck = len(self.calls) == self.strike
        if struck and not self.lost_answer:
            return self.failure[0], {"message": "struck"}, self.failure[1]
        status, found = self._of(service)(method, path, query | {"body": body})
        return (self.failure[0], {"message": "struck"}, {}) if struck else (status, found, {})

    def _token(self) -> Thing:
        catalog = [
            {
                "type": name,
                "endpoints": [
                    {"interface": "public", "region": "one", "region_id": "one", "url": self.url(r)}
                ],
            }
            for name, r in ROOTS.items()
            if name in self.services
        ]
        return {
            "token": {
                "catalog": catalog,
                "expires_at": "2999-01-01T00:00:00.000000Z",
                "issued_at": "2026-01-01T00:00:00.000000Z",
                "methods": ["application_credential"],
                "project": {"id": PROJECT, "name": "p", "domain": {"id": "d", "name": "d"}},
                "user": {"id": "u", "name": "u", "domain": {"id": "d", "name": "d"}},
                "roles": [],
            }
        }

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def _of(self, service: str) -> Callable[[str, str, Thing], Answer]:
        return {
            "compute": self._compute,
            "network": self._network,
            "block-storage": self._storage,
            "load-balancer": self._balancers,
            "container-infra": self._magnum,
            "orchestration": self._heat,
        }[service]

    def _compute(self, method: str, path: str, query: Thing) -> Answer:
        words = path.strip("/").split("/")
        if words[0] == "os-server-groups" or words[1:] in ([], ["detail"]):
            return self._computes(words)
        server = _find(self.servers, words[1])
        if server is None:
            return 404, {"itemNotFound": {"message": "no such server"}}
        if method == "DELETE" and not words[2:]:
            server["going"] = True  # It is seen once more.
            return 204, None
        if words[2:] == ["action"]:
            return _stopped(server)
        if words[2:3] == ["os-interface"]:
            port = _find(self.ports, words[3])
            if port is None:
                return 404, {"itemNotFound": {"message": "no such interface"}}
            port |= {"device_owner": "", "device_id": ""}
        elif words[2:3] == ["os-volume_attachments"] and method == "POST":
            return self._attach(server, query["body"]["volumeAttachment"]["volumeId"])
        elif words[2:3] == ["os-volume_attachments"]:
            volume = _find(self.volumes, words[3])
            if volume is None or not volume["attachments"]:
                return 404, {"itemNotFound": {"message": "no such attachment"}}
            volume |= {"attachments": [], "status": "available"}
        return 200, {"server": server}

    def _computes(self, words: list[str]) -> Answer:
        """A list of Nova's, or the end of a server group."""
        if words[0] == "os-server-groups":
            self.server_groups[:] = [g for g in self.server_groups if g["id"] not in words[1:]]
            return 200, {"server_groups": self.server_groups}
        whole: Thing = {
            "limits": {"absolute": self.limits}, "flavors": FLAVORS, "servers": [*self.servers],
        }  # fmt: skip
        if words[0] == "servers":
            self.servers[:] = [server for server in self.servers if not server.get("going")]
        return 200, {words[0]: whole[words[0]]}

    def _attach(self, server: Thing, name: str) -> Answer:
        volume = _find(self.volumes, name)
        if volume is None or volume["status"] != "available":
            words = "Invalid volume: it must be available to be reserved."
            return 400, {"badRequest": {"message": words}}
        volume |= {"status": "reserved", "goes_to": server["id"]}
        return 200, {"volumeAttachment": {"id": name, "volumeId": name, "serverId": server["id"]}}

    def _version(self, path: str) -> Answer:
        """What a service says of itself."""
        if path not in VERSIONS:
            return 404, {"message": "no such service"}
        name, newest = VERSIONS[path]
        links = [{"rel": "self", "href": self.url(path)}]
        found = {"id": name, "status": "CURRENT", "version": newest, "min_version": f"{name[1:]}"}
        return 200, {"version": found | {"links": links}}

    def _network(self, method: str, path: str, query: Thing) -> Answer:
        kind, _, name = path.strip("/").partition("/")
        if kind == "quotas":
            return 200, {"quota": self.quotas.get("network", {})}
        things: list[Thing] = getattr(self, kind.replace("-", "_"))
        if not name:
            tags, device = query.get("tags"), query.get("device_id")
            found = [t for t in things if tags is None or tags in t["tags"]]
            found = [t for t in found if device is None or t.get("device_id") == device]
            return 200, {kind.replace("-", "_"): found}
        name, _, verb = name.partition("/")
        thing = _find(things, name)
        if thing is None:
            return 404, {"NeutronError": {"type": "NotFound", "message": "no such thing"}}
        if verb == "remove_router_interface":
            self.ports[:] = [p for p in self.ports if p["id"] != query["body"]["port_id"]]
        elif method == "PUT":
            thing |= query["body"][kind.removesuffix("s")]
        if method == "DELETE":
            if any(name in _uses(port) for port in self.ports):
                words = f"{kind.removesuffix('s')} {name} in use."
                return 409, {"NeutronError": {"type": "InUse", "message": words}}
            things.remove(thing)
        return 200, {kind.removesuffix("s"): thing}

    def _storage(self, method: str, path: str, query: Thing) -> Answer:
        kind, _, name = path.strip("/").partition("/")
        if kind == "limits":
            return 200, {"limits": {"absolute": self.limits}}
        things: list[Thing] = getattr(self, kind)
        if name == "detail":
            return self._paged(kind, things, query.get("marker"))
        thing = _find(things, name)
        if thing is None:
            return 404, {"itemNotFound": {"message": "no such thing"}}
        if method == "GET":
            found = dict(thing)
            if server := thing.pop("goes_to", ""):
                thing |= {"status": "in-use", "attachments": [_attachment(server)]}
            return 200, {kind.removesuffix("s"): found}
        held = [s for s in self.snapshots if s.get("volume_id") == name]
        if thing["status"] == "in-use" or (kind == "volumes" and held):
            words = "Volume must not be in-use or have snapshots."
            return 400, {"badRequest": {"message": words}}
        thing["status"] = "deleting"
        return 202, {}

    def _paged(self, kind: str, things: list[Thing], marker: str | None) -> Answer:
        if marker is None:  # What was to be deleted has gone meanwhile.
            things[:] = [t for t in things if t["status"] != "deleting" or t.pop("stays", False)]
        ids = [t["id"] for t in things]
        begin = ids.index(marker) + 1 if marker else 0
        found: Thing = {kind: things[begin : begin + self.page]}
        more = begin + self.page < len(things)
        return 200, found | ({f"{kind}_links": [{"rel": "next"}]} if more else {})

    def _balancers(self, method: str, path: str, query: Thing) -> Answer:
        words = path.strip("/").split("/")[2:]
        if words[0] == "quotas":
            return 200, {"quota": self.quotas.get("load-balancer", {})}
        things: list[Thing] = getattr(self, words[0])
        if len(words) == 1:
            found = [dict(b) for b in things]
            things[:] = [b for b in things if b["provisioning_status"] != "PENDING_DELETE"]
            return 200, {words[0]: found}
        balancer = _find(things, words[1])
        if balancer is None:
            return 404, {"faultstring": "no such load balancer"}
        if balancer["provisioning_status"].startswith("PENDING"):
            return 409, {"faultstring": "Load balancer is immutable and cannot be updated."}
        assert query.get("cascade", "") == ("true" if words[0] == "loadbalancers" else "")
        balancer["provisioning_status"] = "PENDING_DELETE"
        return 204, None

    def _heat(self, method: str, path: str, query: Thing) -> Answer:
        if self.stacks is not None:
            return self.stacks.answer(method, path, query)
        if method == "DELETE":
            for found in (answer for answer in self.heat.values() if "stacks" in answer):
                found["stacks"] = [s for s in found["stacks"] if s["id"] != path.split("/")[-1]]
            return 204, None
        if method in ("POST", "PUT") and not path.endswith("/preview"):
            self.orders.append(query["body"])
        asked = "&".join(f"{k}={v}" for k, v in query.items() if k != "body")
        found = self.heat.get(f"{path}?{asked}" if asked else path)
        return (404, {"error": {"message": path}}) if found is None else (200, found)

    def _magnum(self, method: str, path: str, query: Thing) -> Answer:
        name, *words = path.strip("/").split("/")[1:]
        cluster = _find(self.clusters, name)
        if cluster is None:
            return 404, {"errors": [{"detail": f"Cluster {name} could not be found."}]}
        groups, body = cluster["groups"], query["body"]
        if not words:
            found = dict(cluster)
            cluster["status"] = "UPDATE_COMPLETE"
            return 200, found
        group = _find(groups, words[1] if words[0] == "nodegroups" and words[1:] else "")
        if words == ["actions", "resize"]:
            group = _find(groups, body["nodegroup"])
            assert group is not None
            group |= {"node_count": body["node_count"], "status": "UPDATE_IN_PROGRESS"}
        elif method == "POST":
            if _find(groups, body["name"]) is not None:
                words_ = f"A node group with name {body['name']} already exists in the cluster."
                return 409, {"errors": [{"detail": words_}]}
            groups.append(body | {"id": body["name"], "uuid": "u", "status": "CREATE_IN_PROGRESS"})
        elif group is None:
            return 404, {"errors": [{"detail": "Nodegroup could not be found."}]}
        elif method == "DELETE":
            group["status"] = "DELETE_IN_PROGRESS"
        else:
            return 200, self._seen(groups, group)
        cluster["status"] = "UPDATE_IN_PROGRESS"
        return 202, {"uuid": name}

    def _seen(self, groups: list[Thing], group: Thing) -> Thing:
        """Return a group as it is; what goes on with it is done by the next look."""
        found = dict(group)
        if group["status"] == "DELETE_IN_PROGRESS":
            groups.remove(group)
        group["status"] = group["status"].replace("IN_PROGRESS", "COMPLETE")
        return found


def _stopped(server: Thing) -> Answer:
    if server["status"] != "ACTIVE":
        return 409, {"conflictingRequest": {"message": "while it is in vm_state stopped"}}
    server["status"] = "SHUTOFF"
    return 202, {"server": server}


def _uses(port: Thing) -> set[Any]:
    """What cannot go before a port."""
    subnets = (address["subnet_id"] for address in port.get("fixed_ips", ()))
    router = port["device_id"] if port.get("device_owner", "").startswith("network:") else None
    return {router, port.get("network_id"), *port.get("security_groups", ()), *subnets}


def _attachment(server: str) -> Thing:
    return {"server_id": server, "device": "/dev/vdb"}


def _find(things: list[Thing], name: str) -> Thing | None:
    return next((thing for thing in things if thing["id"] == name), None)


@contextmanager
def serving(double: Double, **settings: str) -> Iterator[Cloud]:
    """Serve it, and give the driver's way to it, with these settings of the Provider."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # Each answer in one piece.

        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            with lock:
                status, found, headers = double.answer(self.command, self.path, body)
            content = b"" if found is None else json.dumps(found).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _do  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    lock = threading.Lock()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    double.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    cloud = Cloud(parse(_endpoint(double, settings)))
    try:
        yield cloud
    finally:
        cloud.close()
        server.shutdown()
        server.server_close()
        thread.join()


def _endpoint(double: Double, settings: dict[str, str]) -> Endpoint:
    return Endpoint(
        provider="double",
        region="one",
        settings={"authUrl": double.url("/v3")} | settings,
        credentials={
            "application-credential-id": "id", "application-credential-secret": "secret",
        },
    )  # fmt: skip
