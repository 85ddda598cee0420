"""Acting as somebody else: whom the headers of a request name, and what rights that takes.

Source: https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/
"""

import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from isthmus.apiserver.authn import ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User
from isthmus.apiserver.errors import bad_request
from isthmus.apiserver.rbac import Action

_ACCOUNT = re.compile(r"system:serviceaccount:([a-z0-9][-a-z0-9]*):([a-z0-9][-a-z0-9.]*)")
_GROUP = "authentication.k8s.io"
_EXTRA = b"impersonate-extra-"


def wanted(headers: Iterable[tuple[bytes, bytes]]) -> User | None:
    """The user as whom a request is to be carried out; None when it names nobody.

    Args:
        headers: Of the request, with names in small letters.

    Raises:
        ApiError: 400, groups, a uid or more of somebody who is not named.
    """
    name, uid, groups, extra = "", "", list[str](), dict[str, list[str]]()
    for header, value in headers:
        if header[:12] != b"impersonate-":
            continue
        text = value.decode("latin-1")
        if header == b"impersonate-user":
            name = text
        elif header == b"impersonate-uid":
            uid = text
        elif header == b"impersonate-group":
            groups.append(text)
        elif header.startswith(_EXTRA):
            extra.setdefault(unquote(header[len(_EXTRA) :].decode("latin-1")), []).append(text)
    if name:
        more = tuple((key, tuple(values)) for key, values in extra.items())
        return User(name, frozenset(_all_groups(name, groups)), uid, more, tuple(groups))
    if uid or groups or extra:
        raise bad_request(
            "Impersonate-Group, Impersonate-Uid and Impersonate-Extra-... are of somebody: name"
            " them with Impersonate-User"
        )
    return None


def _all_groups(name: str, groups: list[str]) -> Iterator[str]:
    """The groups that are named, and those that come of who somebody is."""
    yield from groups
    account = _ACCOUNT.fullmatch(name)
    if account and not groups:
        yield from ("system:serviceaccounts", f"system:serviceaccounts:{account[1]}")
    if name == ANONYMOUS:
        yield UNAUTHENTICATED
    elif UNAUTHENTICATED not in groups:
        yield AUTHENTICATED


def needed(user: User) -> Iterator[Action]:
    """The rights that it takes to act as somebody that `wanted` returned."""
    account = _ACCOUNT.fullmatch(user.name)
    if account:
        yield Action("impersonate", "", "serviceaccounts", account[1], account[2])
    else:
        yield Action("impersonate", "", "users", "", user.name)
    for group in user.named:
        yield Action("impersonate", "", "groups", "", group)
    for key, values in user.extra:
        for value in values:
            yield Action("impersonate", _GROUP, f"userextras/{key}", "", value)
    if user.uid:
        yield Action("impersonate", _GROUP, "uids", "", user.uid)
