"""`make demo`: the main job on an embedded local cluster."""

from __future__ import annotations

from collections.abc import Iterator

from acceptance.lines import Check, Context, Line, at_least, at_most, holds, parsed

KEYS = ("service_ok", "recovered", "digests", "mismatches", "finished", "pods_per_s", "bare_per_s", "seconds")


def demo(context: Context) -> Iterator[Line]:
    """The last line is `DEMO {json}`; each of its figures is a line."""
    done = context.run(["make", "demo"], seconds=600)
    last = done.last_line()
    result = parsed(last.removeprefix("DEMO ")) if last.startswith("DEMO ") else {}
    missing = [key for key in KEYS if key not in result]
    ended = done.code == 0 and not missing
    detail = f"missing {missing}\n{done.tail()}"
    yield holds("demo exit", ended, f"exit {done.code}", "exit 0, DEMO with all keys", detail)
    for key, target in (("service_ok", "answered over HTTP"), ("recovered", "a killed container came back")):
        yield holds(f"demo {key}", result.get(key) is True, str(result.get(key)), target)
    yield at_least("demo digests", result.get("digests"), 600, "files")
    yield at_most("demo mismatches", result.get("mismatches"), 0, "files")
    yield at_least("demo finished", result.get("finished"), 10_000, "pods")
    yield at_most("demo seconds", result.get("seconds"), 120, "s")


CHECKS = [Check("demo", demo)]
