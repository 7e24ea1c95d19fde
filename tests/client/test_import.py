"""`import orch` is quick, loads nothing that is heavy, and offers what it says."""

from __future__ import annotations

import json
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import orch

ROOT = Path(orch.__file__).resolve().parents[1]
HEAVY = (
    "ray",
    "numpy",
    "httpx",
    "httpcore",
    "fastapi",
    "starlette",
    "uvicorn",
    "pydantic",
    "msgpack",
    "rich",
    "asyncio",
)


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return done.stdout


def test_importing_loads_nothing_heavy() -> None:
    loaded = json.loads(python("import json, sys, orch; print(json.dumps(sorted(sys.modules)))"))
    assert [name for name in HEAVY if name in loaded] == []
    assert [name for name in loaded if name.startswith("orch.")] == []


def test_importing_is_quick() -> None:
    """150 ms are promised; the median of five on a machine that may be busy."""
    code = "import time; t = time.perf_counter(); import orch; print(time.perf_counter() - t)"
    times = sorted(float(python(code)) for _ in range(5))
    assert times[2] < 0.15


@pytest.mark.parametrize("name", ["Container", "OrchError", "State", "connect"])
def test_light_names_stay_light(name: str) -> None:
    code = f"import json, sys, orch; orch.{name}; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(python(code))
    assert [module for module in ("ray", "httpx", "fastapi", "rich") if module in loaded] == []


def test_every_public_name_is_there_and_has_a_docstring() -> None:
    for name in orch.__all__:
        thing = getattr(orch, name)
        assert name == "__version__" or thing.__doc__, name
    assert set(orch.__all__) <= set(dir(orch))


def test_a_name_that_is_not_there() -> None:
    for name in ("Nothing", "NothingError", "errors"):
        with pytest.raises(AttributeError, match=name):
            getattr(orch, name)


def test_the_twins_have_the_same_names() -> None:
    import orch.aio as aio

    for name in ("Cluster", "Instance", "Job", "Service"):
        ours, theirs = getattr(orch, name), getattr(aio, name)
        public = {one for one in dir(ours) if not one.startswith("_")}
        assert public - {one for one in dir(theirs) if not one.startswith("_")} == set(), name
        for one in sorted(public):
            blocking, awaited = getattr(ours, one), getattr(theirs, one)
            assert awaited.__doc__, (name, one)
            if callable(blocking) and name != "Service":
                assert parameters(blocking) == parameters(awaited), (name, one)


def parameters(function: typing.Any) -> list[tuple[str, object]]:
    import inspect

    return [(one.name, one.default) for one in inspect.signature(function).parameters.values()]
