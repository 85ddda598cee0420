"""Which user a request is of: a bearer token of one sort or another, or a client certificate.

Each way is asked in turn, and the first that knows the caller decides. A token that nobody knows is
refused even where a certificate would do: who shows the wrong one should hear of it.
"""

from isthmus.apiserver import impersonation
from isthmus.apiserver.authn import TokenFile, User
from isthmus.apiserver.client_certificates import PEER
from isthmus.apiserver.config import Scope
from isthmus.apiserver.errors import ApiError
from isthmus.apiserver.oidc import OidcTokens
from isthmus.apiserver.rbac import Authorizer
from isthmus.apiserver.service_accounts import ServiceAccountTokens

CALLER = "apiserver.caller"
"""Key in an ASGI scope: the `User` who called, as whomever they act."""


class Authentication:
    """Knows the callers.

    Args:
        tokens: Static tokens.
        accounts: Tokens of ServiceAccounts.
        oidc: Tokens of other issuers.
        authorizer: Knows who may act as somebody else.
    """

    def __init__(
        self,
        tokens: TokenFile,
        accounts: ServiceAccountTokens,
        oidc: OidcTokens,
        authorizer: Authorizer,
    ) -> None:
        self._tokens = tokens
        self._oidc = oidc
        self._accounts = accounts
        self._authorizer = authorizer

    async def user(self, scope: Scope) -> User:
        """The user as whom a request is to be carried out.

        Raises:
            ApiError: 400, whom they want to be is not named; 401, nobody knows the caller;
                403, they may not act as whom they want to be.
        """
        caller = scope[CALLER] = await self._caller(scope)
        return self._impersonated(scope, caller)

    @staticmethod
    def is_tried(scope: Scope) -> bool:
        """Whether a request shows a token, right or wrong; nobody has to for what is public."""
        return any(name == b"authorization" for name, _ in scope["headers"])

    async def holder(self, token: str) -> User | None:
        """Who holds this token."""
        user = self._tokens.authenticate(token)
        if user is None and token.count(".") == 2:
            return self._accounts.authenticate(token) or await self._oidc.authenticate(token)
        return user

    async def _caller(self, scope: Scope) -> User:
        for name, value in scope["headers"]:
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                user = await self.holder(value[7:].decode("latin-1").strip())
                break
        else:
            user = scope.get(PEER)
        if user is None:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        return user

    def _impersonated(self, scope: Scope, user: User) -> User:
        """The user as whom an entitled caller wants to act, else the caller."""
        other = impersonation.wanted(scope["headers"])
        if other is None:
            return user
        for action in impersonation.needed(other):
            self._authorizer.require(user, action)
        return other
