"""Who a client certificate speaks for: its common name is the user, its organisations the groups.

The TLS layer has checked the certificate against the authority of `ServerConfig.client_ca` before
anything here is asked; a connection with a certificate of somebody else does not come about.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#x509-client-certificates
"""

import ssl
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

from isthmus.apiserver.authn import AUTHENTICATED, User

PEER = "apiserver.peer"
"""Key in an ASGI scope: the `User` of the connection's client certificate, or None."""
Subject = Iterable[Iterable[tuple[str, str]]]
"""A subject as `ssl.SSLSocket.getpeercert` gives it: relative names of attributes and values."""


class Peer(NamedTuple):
    """Who is at the other end of a connection, and until when.

    Attributes:
        user: Whom the certificate speaks for.
        until: When it expires, in seconds since the epoch; connections live longer than that.
    """

    user: User
    until: float


def peer_of(certificate: Mapping[str, Any]) -> Peer | None:
    """The peer of a checked certificate, as `ssl.SSLSocket.getpeercert` gives it; None: nobody."""
    user = user_of_subject(cast("Subject", certificate.get("subject", ())))
    if user is None:
        return None
    return Peer(user, float(ssl.cert_time_to_seconds(certificate["notAfter"])))


def user_of_subject(subject: Subject) -> User | None:
    """The user of a checked certificate's subject; None when it has no common name."""
    attributes = [attribute for part in subject for attribute in part]
    names = [value for name, value in attributes if name == "commonName" and value]
    if not names:
        return None
    groups = (value for name, value in attributes if name == "organizationName" and value)
    return User(names[-1], frozenset((*groups, AUTHENTICATED)))
