"""Bodies to checked specs, and back to the wire with every default filled in."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from orch.model.specs import paths
from orch.model.specs.app import AppSpec
from orch.model.specs.compile_app import compile_app
from orch.model.specs.compile_pod import compile_pod
from orch.model.specs.job import JobSpec, check_columns, compile_job
from orch.model.specs.legacy import normalised
from orch.model.specs.pod import PodSpec
from orch.model.specs.problems import Problems
from orch.model.specs.raw import Body, children, take, text
from orch.model.specs.rules_app import check_app, check_old_fields
from orch.model.specs.rules_pod import check_pod
from orch.model.specs.settings import DEFAULT, Settings
from orch.model.specs.shape import check_shape, made
from orch.model.specs.template import Template

Spec = PodSpec | AppSpec | JobSpec


def parse(body: object, settings: Settings = DEFAULT) -> PodSpec | AppSpec:
    """A checked pod or app, told apart by `containers`. Raises SpecError with everything that is wrong."""
    if isinstance(body, dict) and ("containers" in body or "scaling" in body or "scheduling" in body):
        return parse_pod(body, settings)
    return parse_app(body, settings)


def parse_pod(body: object, settings: Settings = DEFAULT) -> PodSpec:
    """A checked pod from a body in Marathon's format. Raises SpecError with everything that is wrong."""
    problems = Problems()
    raw = take(body, "pod")
    if check_shape(PodSpec, raw, problems, settings.strict):
        check_pod(raw, problems, settings)
    problems.raise_if_any(_called("pod", raw))
    spec = made(PodSpec, _present_pod(raw, settings), problems, _called("pod", raw))
    check_columns(compile_pod(spec), "pod")
    return spec


def parse_app(body: object, settings: Settings = DEFAULT) -> AppSpec:
    """A checked app from a body in Marathon's format, legacy fields translated. Raises SpecError with all faults."""
    problems = Problems()
    raw = take(body, "app")
    present = raw
    if check_shape(AppSpec, raw, problems, settings.strict):
        check_old_fields(raw, problems)
        present = normalised(raw, settings)
        check_app(present, raw, problems, settings)
    problems.raise_if_any(_called("app", raw))
    spec = made(AppSpec, present, problems, _called("app", raw))
    check_columns(compile_app(spec), "app")
    return spec


def compile_spec(spec: Spec) -> Template:
    """The normal form of a checked spec of any kind."""
    if isinstance(spec, PodSpec):
        return compile_pod(spec)
    return compile_app(spec) if isinstance(spec, AppSpec) else compile_job(spec)


def to_marathon(spec: BaseModel) -> dict[str, Any]:
    """The spec on the wire, defaults filled in, null left out. Parsing it again gives the same spec."""
    body = _tidy(spec.model_dump(mode="json", by_alias=True, exclude_none=True))
    assert isinstance(body, dict)
    return body


def _called(what: str, raw: Body) -> str:
    identity = text(raw, "id")
    return f'{what} "{identity[:80]}"' if identity else f"the {what}"


def _present_pod(raw: Body, settings: Settings) -> Body:
    """The pod with the defaults that depend on other fields or on the place."""
    pod = {**raw, "id": paths.absolute(raw["id"], settings.base)}
    pod["networks"] = [
        {**net, "name": settings.default_network}
        if net.get("mode", "container").lower() == "container" and "name" not in net
        else net
        for _, net in children(raw, "networks")
    ] or [{"mode": "host"}]
    scheduling = dict(raw.get("scheduling", {}))
    resident = any("persistent" in volume for _, volume in children(raw, "volumes"))
    scheduling.setdefault("unreachableStrategy", "disabled" if resident else {})
    if resident:
        scheduling["upgrade"] = {
            "minimumHealthCapacity": 0.5, "maximumOverCapacity": 0.0, **scheduling.get("upgrade", {})
        }  # fmt: skip
    pod["scheduling"] = scheduling
    return pod


def _tidy(value: Any) -> Any:
    """Whole floats as the integers that people wrote."""
    if isinstance(value, dict):
        return {name: _tidy(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
