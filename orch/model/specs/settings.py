"""What a check of specs is told about the place it runs in."""

from __future__ import annotations

from dataclasses import dataclass

FEATURES = ("external_volumes", "gpu_resources", "secrets")
"""Marathon's switches; all are on unless a Settings says otherwise."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How specs are judged.

    strict: unknown fields are refused, and there must be something to run. Otherwise unknown fields are kept and
    returned, and a spec without a command is taken (it is never placed): what Marathon does with both.
    features: which of FEATURES are on. default_network: the name a container network without one gets, "" = it must
    have one. base: the group that relative ids count from.
    """

    strict: bool = True
    features: tuple[str, ...] = FEATURES
    default_network: str = "default"
    base: str = "/"


DEFAULT = Settings()
COMPATIBLE = Settings(strict=False)
"""As Marathon judges: for bodies written for it."""
