"""Specs: pods and apps in Marathon's wire format, jobs, and the one normal form that machines read.

`Template` and `Settings` cost nothing to import; the parsers load pydantic on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orch.model.specs.settings import COMPATIBLE, DEFAULT, Settings
from orch.model.specs.template import Template

if TYPE_CHECKING:
    from orch.model.specs.app import AppSpec
    from orch.model.specs.job import JobSpec, parse_job
    from orch.model.specs.parser import compile_spec, parse, parse_app, parse_pod, to_marathon
    from orch.model.specs.pod import PodSpec
    from orch.model.specs.text import load_text

_HOMES = {
    "AppSpec": "app",
    "JobSpec": "job",
    "PodSpec": "pod",
    "compile_spec": "parser",
    "load_text": "text",
    "parse": "parser",
    "parse_app": "parser",
    "parse_job": "job",
    "parse_pod": "parser",
    "to_marathon": "parser",
}

__all__ = [
    "COMPATIBLE",
    "DEFAULT",
    "AppSpec",
    "JobSpec",
    "PodSpec",
    "Settings",
    "Template",
    "compile_spec",
    "load_text",
    "parse",
    "parse_app",
    "parse_job",
    "parse_pod",
    "to_marathon",
]


def __getattr__(name: str) -> Any:
    """Load a parser, and with it pydantic, on first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{home}"), name)
