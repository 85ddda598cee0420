"""An embedded Kubernetes-compatible API server over SQLite, usable by itself.

The room holds a store of JSON documents (`store`), the meaning of requests on them (`objects`,
`apply`, `patch`, `schema`, `garbage`), who may do what (`authn`, `rbac`), what clients ask about
the API itself (`discovery`, `openapi`, `tables`) and an ASGI face (`http`, `handlers`, `server`).
It knows no kind beyond Kubernetes' own and whatever CustomResourceDefinitions declare, and imports
nothing else of this project.
"""

from isthmus.apiserver.authn import User
from isthmus.apiserver.config import RequestRecord, ServerConfig
from isthmus.apiserver.server import ApiServer

__all__ = ["ApiServer", "RequestRecord", "ServerConfig", "User"]
