"""Credentials that OpenStack itself issues: certificates of clusters whose keys Magnum keeps."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from isthmus.api.meta import Json
from isthmus.drivers.openstack.session import Cloud
from isthmus.errors import InvalidSpec, NotYet, Unavailable
from isthmus.ports import Grant
from isthmus.runtime import pki

_MAGNUM: Final = "container-infrastructure-management"


class MagnumCertificate:
    """An administrator's kubeconfig of a cluster that Magnum made; see ``ports.CredentialSource``.

    The key is made here and leaves us with the result only; Magnum signs a request for it. Nobody
    can withdraw such a certificate, so ``revoke`` does nothing: its end, or a new authority of the
    cluster, makes it worthless. https://docs.openstack.org/api-ref/container-infrastructure-management/
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def grant(self, grant: Grant) -> Mapping[str, str]:
        """Return ``kubeconfig``, and ``expiresAt`` in ISO 8601.

        Raises:
            InvalidSpec: ``spec.cluster`` is missing.
            NotYet: The cluster has no address yet.
        """
        wanted = str(grant.spec.get("cluster") or "")
        if not wanted:
            raise InvalidSpec("credentials.spec.cluster: name the cluster of Magnum.")
        cluster = await self._cloud.get(_MAGNUM, f"/clusters/{quote(wanted, safe='')}")
        address, uuid = str(cluster.get("api_address") or ""), str(cluster["uuid"])
        if not address:
            raise NotYet(f"Magnum knows no address of the API of cluster {cluster['name']!r} yet.")
        authority = _pem(await self._cloud.get(_MAGNUM, f"/certificates/{uuid}"))
        key, request = pki.request_admin()
        body: Json = {"cluster_uuid": uuid, "csr": request}
        signed = _pem(await self._cloud.ask(_MAGNUM, "POST", "/certificates", body=body))
        credential = pki.received(signed, key)
        return {
            "kubeconfig": pki.kubeconfig(str(cluster["name"]), address, authority, credential),
            "expiresAt": credential.expires_at.isoformat(),
        }

    async def revoke(self, grant: Grant) -> None:
        """Nothing that could be taken back was given."""
        del grant


def _pem(answer: dict[str, Any]) -> str:
    text = str(answer.get("pem") or "")
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise Unavailable("Magnum answered without a certificate.")
    return text if text.endswith("\n") else f"{text}\n"
