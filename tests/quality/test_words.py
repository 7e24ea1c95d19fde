"""Every public name says what it is, and every noun of the model is in the glossary."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.quality.source import ROOT, name_of, python_files, tree

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def public_definitions(module: ast.Module) -> Iterator[Definition]:
    """The public classes and functions at the top of a module."""
    for node in module.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node


def public_methods(definition: Definition) -> Iterator[Definition]:
    """The public methods and properties of a class; a property's setter is documented by its getter."""
    for node in definition.body if isinstance(definition, ast.ClassDef) else []:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        decorators = [ast.unparse(d) for d in node.decorator_list]
        if not any(d.endswith((".setter", "overload", "override")) for d in decorators):
            yield node


def test_every_module_says_what_it_is_about() -> None:
    silent = [name_of(p) for p in python_files() if p.stat().st_size and not ast.get_docstring(tree(p))]
    assert silent == []


def test_every_public_name_has_a_docstring() -> None:
    silent = [
        f"{name_of(path)}:{node.lineno} {node.name}"
        for path in python_files()
        for node in public_definitions(tree(path))
        if not ast.get_docstring(node) and not is_overload(node)
    ]
    assert silent == []


def is_overload(node: Definition) -> bool:
    """Whether this is only a typing overload of the function that follows."""
    return any(ast.unparse(d).endswith("overload") for d in node.decorator_list)


def test_every_method_that_users_call_has_a_docstring() -> None:
    silent = [
        f"{name_of(path)}:{method.lineno} {node.name}.{method.name}"
        for path in python_files("orch/client")
        for node in public_definitions(tree(path))
        for method in public_methods(node)
        if not ast.get_docstring(method)
    ]
    assert silent == []


def test_every_public_class_of_the_model_is_in_the_glossary() -> None:
    glossary = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "glossary.md").read_text()))
    missing = [
        f"{node.name} ({name_of(path)})"
        for path in python_files("orch/model")
        for node in public_definitions(tree(path))
        if isinstance(node, ast.ClassDef) and node.name not in glossary
    ]
    assert missing == [], "docs/glossary.md says what each noun of the model is: add `Name` with a line of its own"
