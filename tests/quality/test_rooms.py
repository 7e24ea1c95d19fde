"""What the import contracts (.importlinter) cannot see: compiled modules, orch itself, rooms that no contract lists."""

from __future__ import annotations

import ast
import configparser
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.quality.source import PURE_ROOMS, ROOT, name_of, python_files, tree


def imported(path: Path) -> set[str]:
    """Every module that a file imports, by its full name; `from a import b` counts as both `a` and `a.b`."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def room_of(path: Path) -> str:
    """The room of a file, or the file's own name for one at the top of orch/."""
    return path.relative_to(ROOT / "orch").parts[0].removesuffix(".py")


def rooms() -> set[str]:
    """Every room that holds Python."""
    return {room_of(p) for p in python_files() if p.parent != ROOT / "orch"}


def contracts() -> configparser.ConfigParser:
    """The import contracts."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    return parser


def test_only_placement_calls_the_kernel() -> None:
    kernels = ("orch._placement", "orch._gpus", "orch._victims")
    callers = {room_of(p) for p in python_files() if any(n.startswith(kernels) for n in imported(p))}
    assert callers <= {"placement"}


def test_only_node_calls_the_spawner() -> None:
    callers = {room_of(p) for p in python_files() if any(n.startswith("orch.node._spawn") for n in imported(p))}
    assert callers <= {"node"}


def test_no_room_imports_what_users_import() -> None:
    known = rooms() | {"_placement", "_gpus", "_victims", "__version__"}
    inside = [path for path in python_files() if path.parent != ROOT / "orch"]
    assert [f"{name_of(path)}: {name}" for path in inside for name in what_users_import(path, known)] == []


def what_users_import(path: Path, known: set[str]) -> list[str]:
    """The names that a file takes from orch itself: `import orch`, or `from orch import x` where x is no room."""
    names: list[str] = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names if alias.name == "orch"]
        if isinstance(node, ast.ImportFrom) and node.module == "orch":
            names += [alias.name for alias in node.names if alias.name not in known]
    return names


def test_the_client_and_the_cli_never_import_ray() -> None:
    files = [path for room in ("client", "cli") for path in python_files(f"orch/{room}")]
    assert [name_of(path) for path in files if "ray" in imported(path)] == []


def test_every_room_is_on_a_floor() -> None:
    listed = set(re.findall(r"\w+", contracts()["importlinter:contract:floors"]["layers"]))
    assert rooms() - listed == set()


def test_every_pure_room_is_under_the_purity_contract() -> None:
    listed = set(contracts()["importlinter:contract:pure"]["source_modules"].split())
    assert {f"orch.{room}" for room in rooms() & set(PURE_ROOMS)} == listed


def test_every_library_that_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    for folders, requirements in (
        (("orch",), project["dependencies"]),
        (("tests", "bench", "scripts", "examples"), project["dependencies"] + extras),
    ):
        declared = {normal(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in requirements}
        files = [path for folder in folders for path in python_files(folder)]
        used = {name.partition(".")[0] for path in files for name in imported(path)} - set(sys.stdlib_module_names)
        homes = importlib.metadata.packages_distributions()
        missing = {name for name in used & homes.keys() if not declared & set(map(normal, homes[name]))}
        assert missing - {"orch"} == set(), "pyproject.toml does not name what these come from"


def normal(distribution: str) -> str:
    """The normal form of a distribution's name."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_every_room_is_a_package() -> None:
    folders = {p.parent for p in python_files() if p.parent != ROOT / "orch"}
    assert [name_of(f) for f in sorted(folders) if not (f / "__init__.py").exists()] == []


def test_importing_orch_loads_no_ray_no_numpy_and_no_web_library() -> None:
    code = "import json, sys; import orch; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, cwd="/")
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    heavy = {"ray", "numpy", "httpx", "httpcore", "fastapi", "starlette", "uvicorn", "pydantic", "aiohttp", "requests"}
    assert loaded & heavy == set()
