"""The project's own files, for the tests that read them."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PURE_ROOMS = (
    "model",
    "machine",
    "allocator",
    "placement",
    "catalog",
    "policy",
    "master",
    "agent",
    "services",
    "batch",
    "plan",
)
CODE_SUFFIXES = {".py", ".pyx", ".pxd", ".pxi", ".pyi", ".h", ".sh", ".sql"}
TEXT_SUFFIXES = CODE_SUFFIXES | {".md", ".toml", ".txt", ".yaml", ".yml", ".json", ".html"}
FOLDERS = ("orch", "tests", "bench", "scripts", "examples", "docs", ".ci")


def python_files(folder: str = "orch") -> list[Path]:
    """Every `.py` under `folder`, in order."""
    return sorted((ROOT / folder).rglob("*.py"))


def pure_files() -> list[Path]:
    """Every `.py` of the pure rooms that exist."""
    return [path for room in PURE_ROOMS for path in python_files(f"orch/{room}")]


def text_files() -> list[Path]:
    """Every text file of the project: those of its folders, and those at its top."""
    inside = [p for folder in FOLDERS for p in (ROOT / folder).rglob("*") if "__pycache__" not in p.parts]
    top = list(ROOT.iterdir())
    named = {"Makefile", "run", ".importlinter", ".gitignore"}
    return sorted(p for p in inside + top if p.is_file() and (p.suffix in TEXT_SUFFIXES or p.name in named))


@functools.cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(), str(path))


def name_of(path: Path) -> str:
    """The path as people write it."""
    return str(path.relative_to(ROOT))


def dotted(node: ast.AST) -> str:
    """`a.b.c` for a chain of attributes of a name, else an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else ""
    return ""
