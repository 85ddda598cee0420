"""No credential: the values that the offering names, for things that need none."""

from collections.abc import Mapping
from typing import cast

from isthmus.core.render import as_text
from isthmus.ports import Grant


class Static:
    """See ``ports.CredentialSource``."""

    async def grant(self, grant: Grant) -> Mapping[str, str]:
        """Return the values of the specification."""
        values = cast("dict[str, object]", grant.spec.get("values", {}))
        return {name: as_text(value) for name, value in values.items()}

    async def revoke(self, grant: Grant) -> None:
        """Nothing was made."""
