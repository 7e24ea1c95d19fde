"""The pure rooms give one answer for one input: the rules hold, and each rule finds what it is there for."""

from __future__ import annotations

import ast

import pytest

from tests.quality.determinism import problems
from tests.quality.source import name_of, pure_files, tree


def test_the_pure_rooms_keep_the_rules() -> None:
    found = [f"{name_of(path)}:{line}: {text}" for path in pure_files() for line, text in problems(tree(path))]
    assert found == [], "\n".join(found)


BREACHES = [
    "import time",
    "import os.path",
    "from os import path",
    "def f():\n    import random",
    "import numpy.random",
    "from numpy import random",
    "import numpy as np\nx = np.random.default_rng(1)",
    "from concurrent.futures import Future",
    "x = hash('a')",
    "x = open('f')",
    "x = datetime.now()",
    "x = datetime.datetime.now(tz)",
    "x = date.today()",
    "for x in {1, 2}: pass",
    "for x in set(y): pass",
    "for x in a.keys() - b: pass",
    "for x in a.keys() & b.keys(): pass",
    "for x in first.union(second): pass",
    "x = [y for y in frozenset(z)]",
    "x = {y: 1 for y in set(z)}",
    "x = list(set(z))",
    "x = ','.join({'a', 'b'})",
    "x = next(iter({1, 2}))",
    "x = (*{1, 2},)",
    "first, second = {1, 2}",
    "x = np.array(list({1, 2}))",
    "x = max({1, 2}, key=f)",
    "x = dict.fromkeys({1, 2})",
    "def f(names: set[str]):\n    for x in names: pass",
    "def f(names: frozenset[str] | None):\n    for x in names or (): pass",
    "def f(y):\n    seen = set(y)\n    return tuple(seen)",
    "def f(y):\n    if gone := set(y):\n        return [*gone]",
    "class A:\n    names: set[str]\n    def f(self):\n        return [x for x in self.names]",
    "class A:\n    def __init__(self):\n        self.names = set()\n    def f(self):\n        return self.names.pop()",
    "class A:\n    def f(self):\n        self.m: dict[int, set[int]] = {}\n        return list(self.m[1])",
    "class A:\n    m: dict[int, set[int]]\n    def f(self):\n        for x in self.m.get(1, ()): pass",
    "x = np.sort(y)",
    "x = np.argsort(y)",
    "x = y.argsort()",
    "x = y.argsort(kind='quicksort')",
    "x = np.argpartition(y, 3)",
    "y.sort()",
    "x = np.unique(y, sorted=False)",
    "x = sum(a / b for a in c)",
    "x = sum([0.5, a])",
    "x = y.sum(dtype=np.float64)",
    "x = np.sum(y.astype(np.float64))",
    "x = math.fsum(y)",
    "x = y.mean()",
    "x = a @ b",
    "x = np.dot(a, b)",
]
HARMLESS = [
    "import numpy as np",
    "from datetime import timedelta",
    "from orch.model import times",
    "x = sorted({1, 2})",
    "x = sorted(f(y) for y in {1, 2})",
    "x = any(y > 1 for y in {1, 2})",
    "x = len({1, 2}) + max({1, 2}) + sum({1, 2})",
    "x = {f(y) for y in {1, 2}}",
    "x = 1 in {1, 2}",
    "for x in sorted(set(y)): pass",
    "for x in {1: 2}: pass",
    "for x in a.keys(): pass",
    "for x in flags & mask: pass",
    "def f(y):\n    names = set(y)\n    return sorted(names)\ndef g():\n    names = [1]\n    return list(names)",
    "x = np.sort(y, kind='stable')",
    "x = y.argsort(kind='stable')",
    "x = np.unique(y)",
    "y.sort(key=f)",
    "x = first, second = names.partition('/')[:2]",
    "x = sum(a // b for a in c)",
    "x = y.sum(dtype=np.int64)",
    "x = sum(1 for a in c if a > 0.5)",
    "x = row.pop()",
]


@pytest.mark.parametrize("code", BREACHES)
def test_a_breach_is_found(code: str) -> None:
    assert problems(ast.parse(code)) != []


@pytest.mark.parametrize("code", HARMLESS)
def test_what_is_harmless_is_left_alone(code: str) -> None:
    assert problems(ast.parse(code)) == []
