"""The certificate authorities of AWS's databases.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.SSL.html
"""

from typing import Final, cast

from isthmus.api.meta import Json
from isthmus.drivers.aws.errors import clean
from isthmus.drivers.aws.settings import Settings
from isthmus.errors import InvalidSpec, Unavailable

_BUNDLE: Final = "https://truststore.pki.rds.amazonaws.com/{region}/{region}-bundle.pem"
_SECONDS = 20.0


class Authorities:
    """Finds the authorities that a database's certificate is checked against."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bundle = ""

    async def of(self, spec: Json, engine: str) -> str:
        """Return PEM text, or an empty text for those that the system trusts."""
        tls = cast("Json", spec.get("tls") or {})
        wanted = str(tls.get("ca") or ("system" if engine == "redshift" else "rds"))
        if wanted not in ("rds", "system"):
            raise InvalidSpec("credentials.spec.tls.ca: write rds or system.")
        if self._settings.database_ca_bundle:
            return self._settings.database_ca_bundle
        if wanted == "system":
            return ""
        if self._settings.endpoint_url:
            raise InvalidSpec(
                "spec.settings.databaseCaBundle: a Provider with an endpointUrl needs it; the "
                "databases behind it do not have AWS's certificates."
            )
        if not self._bundle:
            self._bundle = await self._download()
        return self._bundle

    async def _download(self) -> str:
        import httpx2

        url = _BUNDLE.format(region=self._settings.region)
        try:
            async with httpx2.AsyncClient(timeout=_SECONDS) as client:
                answer = await client.get(url)
                answer.raise_for_status()
        except httpx2.HTTPError as exc:
            raise Unavailable(
                "The certificates of AWS's databases cannot be fetched; set databaseCaBundle in "
                "the Provider's settings where there is no way out.",
                detail=clean(f"{url}: {exc}"),
            ) from exc
        return answer.text
