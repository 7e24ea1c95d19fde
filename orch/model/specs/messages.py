"""From what pydantic found to sentences that say what was given, what is allowed, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Error = Mapping[str, Any]

UNITS = {
    "cpus": "CPUs as a number, such as 0.5",
    "mem": "MiB as a number, such as 64",
    "disk": "MiB as a number, such as 64",
    "gpus": "GPUs as a whole number, such as 1",
    "size": "a whole number, in MiB for persistent and GiB for external volumes",
    "maxSize": "MiB as a whole number",
    "shmSize": "MiB as a whole number",
    "backoff": "seconds as a number, such as 1",
    "maxLaunchDelay": "seconds as a number, such as 300",
}

_QUANTITY = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*$")
_MIB = {
    "": 1, "b": 2**-20, "k": 1000 / 2**20, "kb": 1000 / 2**20, "ki": 2**-10, "kib": 2**-10,
    "m": 1, "mb": 1, "mi": 1, "mib": 1, "g": 1024, "gb": 1024, "gi": 1024, "gib": 1024,
    "t": 2**20, "tb": 2**20, "ti": 2**20, "tib": 2**20,
}  # fmt: skip
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_WHOLE = {"": 1.0, "m": 0.001}

_KINDS = {
    "string_type": "a string",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}


def shown(value: Any) -> str:
    """A value as a message quotes it: short, in JSON's words."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 256:
        return "a number of more than 77 digits"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def sentence(error: Error) -> str:
    """The message for one of pydantic's errors (`type`, `loc`, `input`, `ctx`)."""
    kind, given, bounds = str(error["type"]), error.get("input"), error.get("ctx") or {}
    field = next((str(step) for step in reversed(error["loc"]) if isinstance(step, str)), "")
    if kind == "orch":
        return str(bounds["message"])
    if kind == "missing":
        return "is required: add it"
    if kind in _KINDS:
        return f"got {shown(given)}; it must be {_KINDS[kind]}{_quote_hint(kind, given)}"
    if kind in ("float_type", "int_type", "int_from_float", "finite_number"):
        return _number_sentence(field, kind, given)
    return _bound_sentence(kind, given, bounds)


def unit_of(field: str) -> str:
    """What a number of this field counts: `mem` -> "MiB as a number, such as 64"."""
    if field in UNITS:
        return UNITS[field]
    return "seconds as a number, such as 30" if field.endswith("Seconds") else ""


def _number_sentence(field: str, kind: str, given: Any) -> str:
    wanted = "a whole number" if kind.startswith("int") else "a finite number"
    unit = unit_of(field)
    measure = f"; {field} is in {unit}" if unit else ""
    return f"got {shown(given)}; it must be {wanted}{measure}{_remedy(field, given)}"


def _remedy(field: str, given: Any) -> str:
    """`mem: "64MB"` -> ". Write 64"."""
    if not isinstance(given, str) or (match := _QUANTITY.match(given)) is None:
        return ""
    scale = _scales(field).get(match[2].lower())
    if scale is None:
        return ""
    amount = float(match[1]) * scale
    return f". Write {amount:.12g}"


def _scales(field: str) -> Mapping[str, float]:
    unit = unit_of(field)
    if unit.startswith("MiB"):
        return _MIB
    return _SECONDS if unit.startswith("seconds") else _WHOLE


def _quote_hint(kind: str, given: Any) -> str:
    if kind == "string_type" and isinstance(given, int | float) and not isinstance(given, bool):
        return f'. Write "{given}"'
    return ""


def _bound_sentence(kind: str, given: Any, bounds: Mapping[str, Any]) -> str:
    if kind == "greater_than_equal":
        return f"got {shown(given)}, expected {bounds['ge']:.12g} or more"
    if kind == "less_than_equal":
        return f"got {shown(given)}, expected {bounds['le']:.12g} or less"
    size = f"{len(given)}" if isinstance(given, str | list | dict) else "?"
    if kind == "string_too_short":
        return "must not be empty"
    if kind == "string_too_long":
        return f"has {size} characters; at most {bounds['max_length']} are allowed"
    if kind == "too_short":
        return f"has {size} entries; at least {bounds['min_length']} must be there"
    if kind == "too_long":
        return f"has {size} entries; at most {bounds['max_length']} are allowed"
    if kind == "literal_error":
        return f"is {shown(given)}; it must be {bounds['expected']}"
    return f"got {shown(given)}, which is not allowed here"
