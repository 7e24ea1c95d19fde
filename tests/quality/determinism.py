"""The rules of the pure rooms, read off the syntax tree: what could give two answers for one input.

`problems(tree)` returns `(line, text)` for each breach. The rules see what is visible in one file: a set is known by
its literal, its constructor, its operators, or by the annotation or assignment of the name that holds it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.quality.source import dotted

BANNED_MODULES = frozenset(
    [
        *("time", "random", "numpy.random", "uuid", "secrets", "os", "shutil", "tempfile", "signal"),
        *("socket", "select", "selectors", "sqlite3", "subprocess", "multiprocessing", "threading", "concurrent"),
        *("asyncio", "ray", "httpx", "fastapi", "uvicorn"),
    ]
)
BANNED_CALLS = {
    "hash": "hash() differs from run to run",
    "open": "a pure room does no input or output",
    "input": "a pure room does no input or output",
    "print": "a pure room does no input or output",
    "breakpoint": "a pure room does no input or output",
    "math.fsum": "a sum of floats depends on their order",
    "statistics.mean": "a sum of floats depends on their order",
    "statistics.fmean": "a sum of floats depends on their order",
}
CLOCKS = frozenset({"now", "utcnow", "today"})
FLOAT_METHODS = frozenset({"mean", "average", "std", "var", "nanmean", "nansum"})
BLAS = frozenset({"dot", "matmul", "vdot", "inner", "einsum", "tensordot"})
UNSTABLE = frozenset({"partition", "argpartition"})
SET_METHODS = frozenset({"union", "intersection", "difference", "symmetric_difference"})
SET_TYPES = frozenset({"set", "frozenset", "Set", "FrozenSet", "AbstractSet", "MutableSet"})
SET_OPERATORS = (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor)
# Consumers that give one answer whatever the order.
ORDER_FREE = frozenset({"sorted", "set", "frozenset", "any", "all", "len", "sum", "min", "max"})
ITERATING = frozenset({"list", "tuple", "enumerate", "iter", "zip", "map", "filter", "min", "max", "dict.fromkeys"})
ARRAY_MAKERS = frozenset({"array", "asarray", "fromiter", "concatenate", "stack"})
Problem = tuple[int, str]


def problems(tree: ast.Module) -> list[Problem]:
    """Every breach of the rules in one file, by line."""
    attributes = SetNames()
    for node in ast.walk(tree):
        attributes.learn_attributes(node)
    free = order_free_generators(tree)
    found: list[Problem] = []
    for unit in units(tree):
        sets = attributes.with_names_of(unit)
        for node in unit:
            for rule in (imports, calls, sorts, float_sums):
                found += rule(node)
            if node not in free:
                found += set_iterations(node, sets)
    return sorted(set(found))


def units(tree: ast.Module) -> list[list[ast.AST]]:
    """The nodes of each function or method, nested ones included, and those outside of all: the scopes of names."""
    functions: list[ast.AST] = []
    outside: list[ast.AST] = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        outside.append(node)
        for child in ast.iter_child_nodes(node):
            is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            (functions if is_function else waiting).append(child)
    return [outside, *(list(ast.walk(function)) for function in functions)]


def order_free_generators(tree: ast.Module) -> set[ast.AST]:
    """Generators and lists for a call whose answer does not depend on their order, as in `sorted(f(x) for ...)`."""
    free: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and dotted(node.func) in ORDER_FREE and not node.keywords:
            free.update(argument for argument in node.args if isinstance(argument, ast.GeneratorExp | ast.ListComp))
    return free


def imports(node: ast.AST) -> Iterator[Problem]:
    """Imports of what does input or output, knows the time or throws dice."""
    names: list[tuple[int, str]] = []
    if isinstance(node, ast.Import):
        names = [(node.lineno, alias.name) for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        names = [(node.lineno, node.module)]
        names += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    for line, name in names:
        if name in BANNED_MODULES or name.partition(".")[0] in BANNED_MODULES or name.startswith("numpy.random."):
            yield line, f"imports {name}"
    if isinstance(node, ast.Attribute) and dotted(node) in {"np.random", "numpy.random"}:
        yield node.lineno, "uses numpy.random"


def calls(node: ast.AST) -> Iterator[Problem]:
    """Calls of the clock, of hash(), of input and output."""
    if not isinstance(node, ast.Call):
        return
    name = dotted(node.func)
    if name in BANNED_CALLS:
        yield node.lineno, f"calls {name}: {BANNED_CALLS[name]}"
    head, _, last = name.rpartition(".")
    if last in CLOCKS and head.rpartition(".")[2] in {"datetime", "date", "dt"}:
        yield node.lineno, f"calls {name}: time comes in the event"


def sorts(node: ast.AST) -> Iterator[Problem]:
    """Sorts whose order of equals is not defined."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return
    keywords = {k.arg: k.value for k in node.keywords}
    kind = keywords.get("kind")
    stable = isinstance(kind, ast.Constant) and kind.value == "stable"
    last, whose = node.func.attr, dotted(node.func.value)
    numpy = whose in {"np", "numpy"}
    if last == "argsort" or (last == "sort" and numpy):
        if not stable:
            yield node.lineno, f'{last} without kind="stable"'
    elif last == "sort" and not stable and not keywords.keys() & {"key", "reverse"}:
        yield node.lineno, 'a bare .sort(): sorted(...) for a list, kind="stable" for an array'
    elif last in UNSTABLE and (numpy or last == "argpartition"):
        yield node.lineno, f"{last} leaves the order of equals open"
    elif last == "unique_values" or (last == "unique" and "sorted" in keywords):
        yield node.lineno, "unique values in no order"


def float_sums(node: ast.AST) -> Iterator[Problem]:
    """Sums of floats, as far as they can be seen: their value depends on the order of adding."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        yield node.lineno, "a matrix product: BLAS adds in an order of its own"
    if not isinstance(node, ast.Call):
        return
    name = dotted(node.func)
    last = node.func.attr if isinstance(node.func, ast.Attribute) else name
    whose = name.rpartition(".")[0]
    if whose in {"np", "numpy"} and last in BLAS:
        yield node.lineno, f"{name}: BLAS adds in an order of its own"
    if isinstance(node.func, ast.Attribute) and last in FLOAT_METHODS:
        yield node.lineno, f"{last} sums floats"
    if last in {"sum", "cumsum", "add.reduce"}:
        dtype = next((k.value for k in node.keywords if k.arg == "dtype"), None)
        if dtype is not None and "float" in ast.unparse(dtype):
            yield node.lineno, f"{last} over floats"
        if any(is_float(argument) for argument in node.args):
            yield node.lineno, f"{last} over floats"


def is_float(node: ast.AST) -> bool:
    """Whether an expression plainly makes floats: a float literal, a true division, float(), a cast to a float type.

    A condition or an index inside it does not count, and neither does what an int() or round() wraps.
    """
    if isinstance(node, ast.Constant):
        return isinstance(node.value, float)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Div) or is_float(node.left) or is_float(node.right)
    if isinstance(node, ast.UnaryOp):
        return is_float(node.operand)
    if isinstance(node, ast.IfExp):
        return is_float(node.body) or is_float(node.orelse)
    if isinstance(node, ast.GeneratorExp | ast.ListComp):
        return is_float(node.elt)
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return any(map(is_float, node.elts))
    if isinstance(node, ast.Call):
        name = dotted(node.func)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "astype":
            return any("float" in ast.unparse(argument) for argument in node.args)
        return name == "float" or name.startswith(("np.float", "numpy.float"))
    return False


class SetNames:
    """What holds a set: names within one function, attributes within one file; and dicts whose values are sets.

    A name is remembered as `x`, an attribute of whatever object as `.x`.
    """

    def __init__(self) -> None:
        self.sets: set[str] = set()
        self.dicts_of_sets: set[str] = set()

    def with_names_of(self, unit: list[ast.AST]) -> SetNames:
        """A copy that also knows the names of one function."""
        both = SetNames()
        both.sets, both.dicts_of_sets = set(self.sets), set(self.dicts_of_sets)
        for node in unit:
            if isinstance(node, ast.AnnAssign):
                both._annotated(key_of(node.target), node.annotation)
            elif isinstance(node, ast.arg) and node.annotation is not None:
                both._annotated(node.arg, node.annotation)
        for node in unit:
            if isinstance(node, ast.Assign) and both.is_set(node.value):
                both.sets.update(filter(None, map(key_of, node.targets)))
            elif isinstance(node, ast.NamedExpr) and both.is_set(node.value):
                both.sets.add(node.target.id)
        return both

    def learn_attributes(self, node: ast.AST) -> None:
        """Remember the attributes that `node`, a class or an assignment, says to be sets."""
        if isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.AnnAssign):
                    self._annotated("." + key_of(part.target), part.annotation)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Attribute):
            self._annotated(key_of(node.target), node.annotation)
        elif isinstance(node, ast.Assign) and self.is_set(node.value):
            self.sets.update(key_of(target) for target in node.targets if isinstance(target, ast.Attribute))

    def _annotated(self, key: str, annotation: ast.expr) -> None:
        for part in ast.walk(annotation) if isinstance(annotation, ast.BinOp) else [annotation]:
            base = part.value if isinstance(part, ast.Subscript) else part
            if dotted(base).rpartition(".")[2] in SET_TYPES:
                self.sets.add(key)
            if isinstance(part, ast.Subscript) and isinstance(part.slice, ast.Tuple) and len(part.slice.elts) == 2:
                value = part.slice.elts[1]
                value = value.value if isinstance(value, ast.Subscript) else value
                if "dict" in dotted(base).lower() and dotted(value).rpartition(".")[2] in SET_TYPES:
                    self.dicts_of_sets.add(key)

    def is_set(self, node: ast.AST) -> bool:
        """Whether an expression is seen to be a set."""
        if isinstance(node, ast.Set | ast.SetComp):
            return True
        if isinstance(node, ast.Name | ast.Attribute):
            return key_of(node) in self.sets
        if isinstance(node, ast.IfExp):
            return self.is_set(node.body) or self.is_set(node.orelse)
        if isinstance(node, ast.BoolOp):
            return any(self.is_set(value) for value in node.values)
        if isinstance(node, ast.BinOp) and isinstance(node.op, SET_OPERATORS):
            return any(self.is_set(side) or is_dict_view(side) for side in (node.left, node.right))
        if isinstance(node, ast.Subscript):
            return key_of(node.value) in self.dicts_of_sets
        if isinstance(node, ast.Call):
            return self._is_set_call(node)
        return False

    def _is_set_call(self, node: ast.Call) -> bool:
        if dotted(node.func) in {"set", "frozenset"}:
            return True
        if not isinstance(node.func, ast.Attribute):
            return False
        if node.func.attr in SET_METHODS:
            return True
        if node.func.attr == "copy":
            return self.is_set(node.func.value)
        return node.func.attr in {"get", "pop", "setdefault"} and key_of(node.func.value) in self.dicts_of_sets


def key_of(node: ast.AST) -> str:
    """How a variable (`x`) or an attribute (`.x`) is remembered; empty for anything else."""
    if isinstance(node, ast.Attribute):
        return "." + node.attr
    return node.id if isinstance(node, ast.Name) else ""


def is_dict_view(node: ast.AST) -> bool:
    """Whether this is `d.keys()` or `d.items()`, which behave as sets under operators."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"keys", "items"}


def set_iterations(node: ast.AST, sets: SetNames) -> Iterator[Problem]:
    """Every place that goes through a set in the set's own order."""
    if isinstance(node, ast.For | ast.AsyncFor) and sets.is_set(node.iter):
        yield node.lineno, f"iterates over a set: {ast.unparse(node.iter)}"
    if isinstance(node, ast.ListComp | ast.DictComp | ast.GeneratorExp):
        for generator in node.generators:
            if sets.is_set(generator.iter):
                yield node.lineno, f"iterates over a set: {ast.unparse(generator.iter)}"
    if isinstance(node, ast.Starred) and sets.is_set(node.value):
        yield node.lineno, f"unpacks a set: {ast.unparse(node.value)}"
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple | ast.List) and sets.is_set(node.value):
        yield node.lineno, f"unpacks a set: {ast.unparse(node.value)}"
    if isinstance(node, ast.Call):
        yield from set_arguments(node, sets)


def set_arguments(node: ast.Call, sets: SetNames) -> Iterator[Problem]:
    """A set handed to a function that goes through it, or a set's own pop()."""
    name = dotted(node.func)
    last = node.func.attr if isinstance(node.func, ast.Attribute) else name
    goes_through = name in ITERATING or last in {"join", "extend"} or last in ARRAY_MAKERS
    if goes_through and not (name in {"min", "max"} and not node.keywords and len(node.args) == 1):
        for argument in node.args:
            if sets.is_set(argument):
                yield node.lineno, f"iterates over a set: {name or last}({ast.unparse(argument)})"
    if last == "pop" and not node.args and isinstance(node.func, ast.Attribute) and sets.is_set(node.func.value):
        yield node.lineno, "pops from a set: which one is not defined"
