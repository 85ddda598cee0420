"""StorageBackend: a storage that a cluster's pods get volumes from, with its classes.

Which storage it is, its offering says (of category ``storage``): Cinder today. What differs from
storage to storage is in ``parameters``; classes, snapshots and credentials are the same for all.
"""

from typing import ClassVar, Literal

from pydantic import Field

from isthmus.api.meta import AGE, GROUP, MESSAGE, READY_COLUMNS, Column, Model, Names, fixed
from isthmus.api.v1alpha1.claim import Claim, ClaimSpec, ClaimStatus

_NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"


class VolumeClass(Model):
    """One StorageClass of the cluster."""

    name: str = Field(pattern=_NAME, description="Name of the StorageClass.")
    type: str = Field(
        default="",
        description="What the storage calls this kind of volume, for example a volume type of "
        "Cinder. Empty: its usual one.",
    )
    default: bool = Field(default=False, description="Claims that name no class get this one.")
    reclaim_policy: Literal["Delete", "Retain"] = Field(
        default="Delete", description="What becomes of a volume whose claim is deleted."
    )
    fs_type: str = Field(
        default="", description="What volumes are formatted with. Empty: the storage's usual one."
    )
    zone: str = Field(
        default="", description="Where volumes are made. Empty: where the pod is, if it has zones."
    )


class StorageBackendSpec(ClaimSpec):
    """What the tenant asks for. What these fields do not say is in `parameters`."""

    own: ClassVar[tuple[str, ...]] = ("classes",)

    offering: str = Field(
        default="storage-cinder", min_length=1, description="Name of an Offering."
    )
    plan: str = Field(
        default="dev", min_length=1, description="Name of one of the offering's plans."
    )
    cluster: str = Field(
        default="",
        description="Name of a Cluster in the same namespace that gets the storage. Empty: it "
        "lands on `provider`.",
        json_schema_extra=fixed("cannot be changed; create another StorageBackend"),
    )
    classes: tuple[VolumeClass, ...] = Field(
        default=(), description="The StorageClasses to make. Empty: those of the plan."
    )
    credentials_secret: str = Field(
        default="",
        description="Name of a Secret in the same namespace with what the storage wants to know "
        "its user by: for each secret parameter of the offering a key of its name, in words with "
        "hyphens. Give it no more rights than volumes need.",
    )


class StorageBackendStatus(ClaimStatus):
    """What was last seen."""

    driver: str = Field(default="", description="The CSI driver's name in the cluster.")
    classes: tuple[str, ...] = Field(default=(), description="The StorageClasses that are there.")


class StorageBackend(Claim[StorageBackendSpec, StorageBackendStatus]):
    """A storage that a cluster's pods get volumes from."""

    label = f"{GROUP}/storage-backend"
    stack_prefix = "storage-"
    names: ClassVar[Names] = Names(
        kind="StorageBackend", plural="storagebackends", short=("storage",)
    )
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="Offering", json_path=".spec.offering"),
        Column(name="Cluster", json_path=".spec.cluster"),
        Column(name="Classes", json_path=".status.classes"),
        *READY_COLUMNS,
        Column(name="Driver", json_path=".status.driver", priority=1),
        Column(name="Provider", json_path=".status.provider"),
        AGE,
        MESSAGE,
    )

    status: StorageBackendStatus = Field(default_factory=StorageBackendStatus)
