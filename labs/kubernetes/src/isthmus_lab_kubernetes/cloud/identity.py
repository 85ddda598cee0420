"""A session with the cloud's identity service, by the standard library alone."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from isthmus_lab_kubernetes.settings import LabError

# The lab's API is on this machine, whatever proxy the environment names.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Session:
    """Answers GET requests of one service user; renews its token when it ends."""

    auth_url: str
    username: str
    password: str = field(repr=False)
    project: str = "service"
    domain: str = "Default"
    endpoints: dict[str, str] = field(default_factory=dict[str, str])
    """The public endpoints by service type, once there is a token."""
    _token: str = field(default="", repr=False)

    def get(self, service: str, path: str, **query: Any) -> Any:
        """The JSON that a service answers; a query's lists become several parameters.

        Raises:
            LabError: The service did not answer, or refused.
        """
        if not self._token:
            self._log_in()
        base = self.endpoints.get(service)
        if base is None:
            raise LabError(f"the cloud has no service {service}")
        url = f"{base}{path}?{urlencode(query, doseq=True)}"
        try:
            return self._fetch(url)
        except urllib.error.HTTPError as error:
            if error.code != 401:
                raise LabError(f"{url}: {error.code}") from error
        except OSError as error:
            raise LabError(f"{url}: {error}") from error
        self._log_in()
        try:
            return self._fetch(url)
        except OSError as error:
            raise LabError(f"{url}: {error}") from error

    def _fetch(self, url: str) -> Any:
        request = urllib.request.Request(url, headers={"X-Auth-Token": self._token})
        with _OPENER.open(request, timeout=30) as answer:
            return json.load(answer)

    def _log_in(self) -> None:
        domain = {"name": self.domain}
        user = {"name": self.username, "password": self.password, "domain": domain}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": self.project, "domain": domain}},
        }
        request = urllib.request.Request(
            f"{self.auth_url}/auth/tokens",
            json.dumps({"auth": auth}).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with _OPENER.open(request, timeout=30) as answer:
                self._token = answer.headers["X-Subject-Token"]
                catalog = json.load(answer)["token"]["catalog"]
        except OSError as error:
            raise LabError(f"{self.auth_url}: {error}") from error
        for service in catalog:
            for endpoint in service["endpoints"]:
                if endpoint["interface"] == "public":
                    self.endpoints[service["type"]] = endpoint["url"].rstrip("/")

    def loopback_ports(self) -> frozenset[int]:
        """The ports of loopback where the cloud's public endpoints are."""
        parts = [urlsplit(url) for url in (*self.endpoints.values(), self.auth_url)]
        return frozenset(p.port for p in parts if p.port and (p.hostname or "").startswith("127."))
