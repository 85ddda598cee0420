"""One thing that is wrong, as every kind of lint says it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with a template or an offering."""

    path: str
    """Where, for example ``spec.stacks.aws.template.Resources.Cluster.Properties.Engine``."""
    message: str
    rule: str = ""
