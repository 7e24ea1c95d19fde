"""Bodies that others wrote for Marathon: each that can be judged alone is judged as Marathon judged it."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest

from orch.model.errors import SpecError
from orch.model.specs import COMPATIBLE, Settings, Template, compile_spec, parse_app, parse_pod, to_marathon
from orch.model.specs.raw import take

CORPUS = Path(os.environ.get("ORCH_CORPUS", "")) / "marathon"
PARSERS = {"apps": parse_app, "pods": parse_pod}
# Legacy fields are translated, and ids become absolute.
TRANSLATED = {"id", "dependencies", "uris", "ports", "ipAddress"}
TRANSLATED_IN_DOCKER = {"network", "portMappings"}


def rows(verdict: str) -> list[dict[str, str]]:
    """The lines of the index for pods and apps that need no other request first."""
    if not (CORPUS / "index.tsv").is_file():
        return []
    with (CORPUS / "index.tsv").open(newline="") as index:
        found = [row for row in csv.DictReader(index, delimiter="\t") if not row["state"]]
    return [row for row in found if row["name"].split("/")[0] in PARSERS and row["name"].split("/")[1] == verdict]


def settings_of(row: dict[str, str]) -> Settings:
    if row["config"] == "no default_network_name":
        return Settings(strict=False, default_network="")
    return COMPATIBLE


def lost(given: Any, shown: Any, at: str) -> list[str]:
    """Where `shown` lacks what was given or has something else."""
    if isinstance(given, dict):
        if not isinstance(shown, dict):
            return [at]
        skipped = TRANSLATED if at == "" else TRANSLATED_IN_DOCKER if at.endswith("/docker") else set()
        return [
            place
            for name, value in given.items()
            if name not in skipped
            for place in ([f"{at}/{name}"] if name not in shown else lost(value, shown[name], f"{at}/{name}"))
        ]
    if isinstance(given, list):
        if not isinstance(shown, list) or len(given) > len(shown):
            return [at]
        return [place for i, pair in enumerate(zip(given, shown, strict=False)) for place in lost(*pair, f"{at}({i})")]
    return [] if given == shown else [at]


corpus = pytest.mark.skipif(not rows("valid"), reason="ORCH_CORPUS names no folder with marathon/index.tsv")


@corpus
def test_every_valid_body_is_taken_and_shown_with_all_that_was_given() -> None:
    wrong = []
    for row in rows("valid"):
        kind = row["name"].split("/")[0]
        body = json.loads((CORPUS / row["name"]).read_text())
        try:
            spec = PARSERS[kind](body, settings_of(row))
        except SpecError as refused:
            wrong.append(f"{row['name']}: {refused.details}")
            continue
        shown = to_marathon(spec)
        if places := lost(take(body, kind), shown, ""):
            wrong.append(f"{row['name']}: lost {places}")
        if to_marathon(PARSERS[kind](shown, settings_of(row))) != shown:
            wrong.append(f"{row['name']}: the normalised body changes when it is submitted again")
        template = compile_spec(spec)
        assert Template.from_wire(template.to_wire()) == template
    assert wrong == [], "\n".join(wrong)


@corpus
def test_every_invalid_body_is_refused_under_the_path_that_is_expected() -> None:
    wrong = []
    for row in rows("invalid"):
        body = json.loads((CORPUS / row["name"]).read_text())
        try:
            PARSERS[row["name"].split("/")[0]](body, settings_of(row))
        except SpecError as refused:
            found = [entry["path"] for entry in refused.details]
        else:
            wrong.append(f"{row['name']}: taken; expected {row['expect'] or 'a refusal'}")
            continue
        path = expected_path(row["expect"])
        if path and path not in found:
            wrong.append(f"{row['name']}: expected {path}, found {found}")
    assert wrong == [], "\n".join(wrong)


def expected_path(expect: str) -> str:
    """The path that an expectation begins with, as in `/cpus: got ...`; "" where it is a text alone."""
    text = expect.removeprefix('"')
    if not text.startswith("/"):
        return ""
    return text.split(" ")[0].rstrip(",").rstrip(":")


def test_expectations_are_read() -> None:
    assert expected_path("/cpus: got -3, expected 0 or more") == "/cpus"
    assert expected_path('/ -> "must be empty"') == "/"
    assert expected_path("MAX_PER requires an integer value") == ""
