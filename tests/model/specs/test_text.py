"""JSON and YAML text: what is read, and where the fault of what can't be read is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch.model.errors import TooLargeError, UsageError
from orch.model.specs import limits, load_text

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=5), values, max_size=4))
def test_json_is_read_as_json_reads_it(body: dict[str, object]) -> None:
    assert load_text(json.dumps(body)) == body
    assert load_text(json.dumps(body).encode()) == body


def test_yaml_is_read_by_its_core_schema() -> None:
    text = """
    # a comment
    id: /demo/web
    on: yes
    when: 2026-01-02
    clock: 12:30
    port: 0644
    numbers: [1, -2, 1.5, 1e3, +7, .5]
    truth: [true, False, null, ~]
    quoted: "1"
    """
    assert load_text(text) == {
        "id": "/demo/web",
        "on": "yes",
        "when": "2026-01-02",
        "clock": "12:30",
        "port": 644,
        "numbers": [1, -2, 1.5, 1000.0, 7, 0.5],
        "truth": [True, False, None, None],
        "quoted": "1",
    }


def test_flow_style_yaml_is_no_broken_json() -> None:
    assert load_text("{id: /demo/web, containers: []}") == {"id": "/demo/web", "containers": []}


def test_a_mark_at_the_start_of_a_file_is_passed_over() -> None:
    assert load_text(b'\xef\xbb\xbf{"id": "/a"}') == {"id": "/a"}


def test_aliases_are_read() -> None:
    assert load_text("a: &x {k: 1}\nb: *x") == {"a": {"k": 1}, "b": {"k": 1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": "/a",\n "cmd" "true"}', "web.json, line 2, column 8: JSON: Expecting ':' delimiter"),
        ('{"id": ' + "1" * 5000 + "}", "Exceeds the limit"),
        ("id: " + "1" * 5000, "Exceeds the limit"),
        ("{id: /a, b: c: d}", "JSON: Expecting property name"),
        ("{a: " * 70 + "}" * 70, "JSON: Expecting property name"),
        ('{"id": NaN}', "NaN is no number that JSON has"),
        ('{"id": 1, "id": 2}', "the field 'id' is given twice in one object"),
        ("[" * 100_000, "nested more than 64 levels deep"),
        ("[" * 100 + "]" * 100, "web.json holds a list"),
        ("id: [1, 2\ncmd: x", "line 2, column 4: YAML: "),
        ("id: a\n\tcmd: x", "line 2, column 1: YAML: "),
        ("id: 1\nid: 2", "line 2, column 1: the field 'id' is given twice in one object"),
        ("1: x", 'line 1, column 1: the field name 1 must be a string: write "1"'),
        ("? [a]\n: x", "line 1, column 3: a field name must be a string"),
        ("a: &x {k: 1}\nb: {<<: *x}", "line 2, column 5: merge keys (<<) are not taken"),
        ("a: !!set {x, y}", "is nothing that JSON has"),
        ("a: !!binary aGVsbG8=", "a bytes is nothing that JSON has"),
        ("a: !!python/object:os.system {}", "could not determine a constructor"),
        ("a: !!int x", "YAML: invalid literal"),
        ("a: {" * 70 + "}" * 70, "nested more than 64 levels deep"),
        ("id: \x00", "YAML: "),
        ("", "web.json is empty"),
        ("# nothing", "web.json is empty"),
        ("null", "web.json holds nothing"),
        ("- a", "web.json holds a list"),
        ("text", "web.json holds text"),
        ("3", "web.json holds a number"),
        (b"\xff\xfe{", "web.json is not UTF-8"),
    ],
    ids=lambda part: str(part)[:30],
)
def test_what_cannot_be_read_is_told_with_its_place(text: str | bytes, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        load_text(text, "web.json")
    assert message in refused.value.detail
    assert refused.value.status == 400
    assert refused.value.details == [{"path": "/", "errors": [refused.value.detail]}]


def test_a_text_that_unfolds_without_end_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(TooLargeError, match="unfolds to more than"):
        load_text("\n".join(lines))
    with pytest.raises(TooLargeError, match="unfolds to more than"):
        load_text("a: &a [*a]")


def test_yaml_above_its_own_limits_is_refused() -> None:
    with pytest.raises(TooLargeError, match="characters of YAML; at most"):
        load_text("a: " + "x" * limits.YAML_CHARS)
    with pytest.raises(TooLargeError, match="values in YAML"):
        load_text("- x\n" * (2 * limits.YAML_NODES))
    with pytest.raises(UsageError, match="JSON: Expecting"):
        load_text("{a" + " " * limits.YAML_CHARS)


def test_a_text_above_the_limit_is_refused() -> None:
    with pytest.raises(TooLargeError, match=f"at most {limits.BODY_BYTES} are taken"):
        load_text(" " * (limits.BODY_BYTES + 1))


def test_a_text_of_just_the_limit_is_taken() -> None:
    text = '{"id": "/x"}'
    assert load_text(text + " " * (limits.BODY_BYTES - len(text))) == {"id": "/x"}


def test_yaml_may_be_nested_just_so_deep() -> None:
    within, beyond = limits.DEPTH - 1, limits.DEPTH
    assert load_text("a: " + "[" * within + "]" * within)
    with pytest.raises(UsageError, match="nested more than"):
        load_text("a: " + "[" * beyond + "]" * beyond)
