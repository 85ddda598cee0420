"""An embedded Kubernetes-compatible API server over SQLite, usable by itself.

Where to look, from the disk to the network:

- kept: `store` (the image, group commit), `collection` (one resource's part of it), `rereading`
  (objects older than their definition), `database` (the file), `history` (what watches read),
  `datafolder` (whether something was lost), `secretbox` and `key_rotation` (encryption), `backup`,
  `maintenance`;
- known kinds: `kinds` and `rules` (built-in; `events`, `rbacrules`, `secretrules`), `crds`,
  `crdchecks`, `crdnames` and `naming` (anybody's), `resources` (the registry) and `shapes`,
  `schema`, `refusals` and `expressions` (validation; by `celsyntax`, `celchecker` and
  `celprogram`), `metadata`, `defaults`;
- writes: `objects` (create, update, delete), `subresources`, `parameters`, `preconditions`,
  `ownerrefs`, `deletion`, `patch`, `applied`, `typedcheck`, `ownership` and `fields` (server-side
  apply), `scale`, `quotas`;
  afterwards `garbage`, `namespaces`, `aggregation` (by `chores`) and `expiry`;
- reads: `listing`, `watching`, `selectors`, `jsonpath`, `tables`;
- who and what: `authentication` by `authn`, `service_accounts`, `token_secrets`, `oidc` and
  `client_certificates`; `rbac`, `reviews`; what happened: `audit`;
- the face: `targets` and `handlers` (from a path to its meaning), `http`, `protobuf`, `discovery`,
  `openapi` (by `openapi_paths` and `openapi_schemas`; `openapi_v2`, `openapi_protobuf`), `metrics`,
  `tls`, `connections`, `listening`, `server`.

It knows no kind beyond Kubernetes' own and whatever CustomResourceDefinitions declare, and imports
nothing else of this project.
"""

from isthmus.apiserver.authn import User
from isthmus.apiserver.config import RequestRecord, ServerConfig
from isthmus.apiserver.server import ApiServer

__all__ = ["ApiServer", "RequestRecord", "ServerConfig", "User"]
