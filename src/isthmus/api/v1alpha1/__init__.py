"""Version v1alpha1: one file per kind."""

from typing import Any

from isthmus.api.meta import Resource
from isthmus.api.v1alpha1.claim import AnyClaim, Claim, ClaimSpec, ClaimStatus, RevisionPolicy
from isthmus.api.v1alpha1.offering import (
    Action,
    Binding,
    CredentialTemplate,
    Offering,
    OfferingRevision,
    OfferingRevisionSpec,
    OfferingSpec,
    OfferingStatus,
    Plan,
    PriceComponent,
    PriceList,
    StackTemplate,
    UsagePrice,
)
from isthmus.api.v1alpha1.operation import (
    Operation,
    OperationPhase,
    OperationSpec,
    OperationStatus,
    Target,
)
from isthmus.api.v1alpha1.provider import Provider, ProviderSpec, ProviderStatus
from isthmus.api.v1alpha1.service_binding import (
    BoundSecret,
    ServiceBinding,
    ServiceBindingSpec,
    ServiceBindingStatus,
)
from isthmus.api.v1alpha1.service_instance import (
    ServiceInstance,
    ServiceInstanceSpec,
    ServiceInstanceStatus,
)
from isthmus.api.v1alpha1.stack import (
    Drift,
    Phase,
    Stack,
    StackEvent,
    StackParameter,
    StackResource,
    StackSpec,
    StackStatus,
)

KINDS: tuple[type[Resource[Any, Any]], ...] = (
    Provider,
    Offering,
    OfferingRevision,
    ServiceInstance,
    ServiceBinding,
    Stack,
    Operation,
)

__all__ = [
    "KINDS",
    "Action",
    "AnyClaim",
    "Binding",
    "BoundSecret",
    "Claim",
    "ClaimSpec",
    "ClaimStatus",
    "CredentialTemplate",
    "Drift",
    "Offering",
    "OfferingRevision",
    "OfferingRevisionSpec",
    "OfferingSpec",
    "OfferingStatus",
    "Operation",
    "OperationPhase",
    "OperationSpec",
    "OperationStatus",
    "Phase",
    "Plan",
    "PriceComponent",
    "PriceList",
    "Provider",
    "ProviderSpec",
    "ProviderStatus",
    "RevisionPolicy",
    "ServiceBinding",
    "ServiceBindingSpec",
    "ServiceBindingStatus",
    "ServiceInstance",
    "ServiceInstanceSpec",
    "ServiceInstanceStatus",
    "Stack",
    "StackEvent",
    "StackParameter",
    "StackResource",
    "StackSpec",
    "StackStatus",
    "StackTemplate",
    "Target",
    "UsagePrice",
]
