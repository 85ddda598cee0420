"""Who a client certificate speaks for: its common name is the user, its organisations the groups.

The TLS layer has checked the certificate against the authority of `ServerConfig.client_ca` before
anything here is asked; a connection with a certificate of somebody else does not come about.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#x509-client-certificates
"""

from collections.abc import Iterable

from isthmus.apiserver.authn import AUTHENTICATED, User

Subject = Iterable[Iterable[tuple[str, str]]]
"""A subject as `ssl.SSLSocket.getpeercert` gives it: relative names of attributes and values."""

PEER = "apiserver.peer"
"""Key in an ASGI scope: the `User` of the connection's client certificate, or None."""


def user_of_subject(subject: Subject) -> User | None:
    """The user of a checked certificate's subject; None when it has no common name."""
    attributes = [attribute for part in subject for attribute in part]
    names = [value for name, value in attributes if name == "commonName" and value]
    if not names:
        return None
    groups = (value for name, value in attributes if name == "organizationName" and value)
    return User(names[-1], frozenset((*groups, AUTHENTICATED)))
