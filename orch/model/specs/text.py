"""JSON or YAML text to a body, with the line and column of what can't be read.

YAML is read as its 1.2 core says: only true and false are booleans, and dates are text. Aliases are counted as often as
they are used, so that a short text can't become a huge body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from orch.model.errors import TooLargeError, UsageError
from orch.model.specs import limits


def load_text(text: str | bytes, name: str = "the text") -> dict[str, Any]:
    """The object that a JSON or YAML text holds. name: what messages call it, such as a file.

    Raises UsageError with line and column where the text can't be read or is no object, TooLargeError above
    limits.BODY_BYTES or where aliases unfold to more than limits.YAML_NODES values.
    """
    decoded = _decoded(text, name)
    stripped = decoded.lstrip()
    body = _load_json(decoded, name) if stripped.startswith(("{", "[")) else _MISSING
    if body is _MISSING:
        body = _load_yaml(decoded, name)
    if not isinstance(body, dict):
        raise _unreadable(f"{name} holds {_kind(body)}; a spec is an object with fields such as id", "/")
    return body


class _Missing:
    """No JSON was found."""


_MISSING = _Missing()


_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The compiled parser where PyYAML has it: ten times faster."""


class _Loader(_Base):  # type: ignore[misc]
    """Safe, and with the scalars of YAML 1.2: no yes and no, no dates, no base 60, no octal by a leading zero."""

    def decimal(self, node: yaml.ScalarNode) -> int:
        """A whole number in base 10."""
        return int(node.value)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("float", r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", "-+."),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.decimal)


def _decoded(text: str | bytes, name: str) -> str:
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    if size > limits.BODY_BYTES:
        raise TooLargeError(f"{name} has {size} bytes; at most {limits.BODY_BYTES} are taken. Split it")
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise _unreadable(f"{name} is not UTF-8: {fault.reason} at byte {fault.start}", "/") from None


def _load_json(text: str, name: str) -> Any:
    """The value, or _MISSING where the text may still be YAML in flow style."""
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique)
    except json.JSONDecodeError as fault:
        if _is_yaml(text):
            return _MISSING
        raise _at(name, f"JSON: {fault.msg}", fault.lineno, fault.colno) from None
    except RecursionError:
        raise _unreadable(f"{name} is nested more than {limits.DEPTH} levels deep", "/") from None
    except ValueError as fault:
        raise _unreadable(f"{name}: {fault}", "/") from None


class _BadJsonError(ValueError):
    """Grammatical, and not allowed."""


def _no_constant(word: str) -> Any:
    raise _BadJsonError(f"{word} is no number that JSON has")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: dict[str, None] = {}
        for name, _ in pairs:
            if name in seen:
                raise _BadJsonError(f"the field {name[:80]!r} is given twice in one object")
            seen[name] = None
    return found


def _is_yaml(text: str) -> bool:
    """Whether a text that JSON can't read is YAML: `{id: /demo/web}`."""
    if len(text) > limits.YAML_CHARS:
        return False
    try:
        _check_depth(text, "")
        yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, UsageError, TooLargeError):
        return False
    return True


def _load_yaml(text: str, name: str) -> Any:
    if len(text) > limits.YAML_CHARS:
        raise TooLargeError(f"{name} has {len(text)} characters of YAML; at most {limits.YAML_CHARS} are taken")
    try:
        _check_depth(text, name)
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise _unreadable(f"{name} is empty", "/")
        if _unfolded(node, {}) > limits.YAML_NODES:
            raise TooLargeError(f"{name} unfolds to more than {limits.YAML_NODES} values. Use fewer aliases")
        _check_keys(node, name, {})
        body = loader.construct_document(node)
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        raise _at(name, f"YAML: {fault.problem or fault.context}", line, column) from None
    except (yaml.YAMLError, ValueError) as fault:
        raise _unreadable(f"{name}: YAML: {str(fault).splitlines()[0]}", "/") from None
    for value in _leaves(body):
        if not isinstance(value, str | int | float | bool | None):
            raise _unreadable(f"{name}: {_kind(value)} is nothing that JSON has; write it as text", "/")
    return body


def _check_depth(text: str, name: str) -> None:
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if count > 2 * limits.YAML_NODES:
            raise TooLargeError(f"{name} holds more than {limits.YAML_NODES} values in YAML. Split it, or write JSON")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > limits.DEPTH:
            raise _at(name, f"nested more than {limits.DEPTH} levels deep", *_place(event))


def _unfolded(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values the node stands for, each alias counted in full; a node within itself is endless."""
    key = id(node)
    if key not in known:
        known[key] = limits.YAML_NODES + 1
        known[key] = 1 + sum(_unfolded(child, known) for child in _children(node))
    return known[key]


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value


def _check_keys(node: yaml.Node, name: str, seen: dict[int, None]) -> None:
    """Field names are strings, and come once."""
    if id(node) in seen or isinstance(node, yaml.ScalarNode):
        return
    seen[id(node)] = None
    if isinstance(node, yaml.MappingNode):
        names: dict[str, None] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _at(name, "a field name must be a string", *_place(key))
            if key.tag == "tag:yaml.org,2002:merge" or key.value == "<<":
                raise _at(name, "merge keys (<<) are not taken: write the fields out", *_place(key))
            if key.tag != "tag:yaml.org,2002:str":
                raise _at(
                    name, f'the field name {key.value[:80]} must be a string: write "{key.value[:80]}"', *_place(key)
                )
            if key.value in names:
                raise _at(name, f"the field {key.value[:80]!r} is given twice in one object", *_place(key))
            names[key.value] = None
    for child in _children(node):
        _check_keys(child, name, seen)


def _place(thing: Any) -> tuple[int, int]:
    return thing.start_mark.line + 1, thing.start_mark.column + 1


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _kind(value: Any) -> str:
    kinds = {"list": "a list", "str": "text", "NoneType": "nothing", "int": "a number", "float": "a number"}
    return kinds.get(type(value).__name__, f"a {type(value).__name__}")


def _at(name: str, problem: str, line: int, column: int) -> UsageError:
    return _unreadable(f"{name}, line {line}, column {column}: {problem}", "/")


def _unreadable(message: str, path: str) -> UsageError:
    return UsageError(message, details=[{"path": path, "errors": [message]}])
