"""`python -m bench offers`: its rows on small clusters, and that a wrong offer is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench import offers, races
from orch.model import messages as say
from orch.model.codec import decode, encode


class Kept:
    """Rows as they are added, instead of printed."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def add(self, name: str, case: str, figure: float, unit: str, n: int, **more: Any) -> None:
        self.rows[case] = {"name": name, "figure": figure, "unit": unit, "n": n, **more}


def test_a_case_has_rows_for_the_first_offers_and_the_cycles_after_them() -> None:
    kept = Kept()
    for quotas in (False, True):
        offers.one(kept, 200, 7, quotas, seed=5, cycles=3)  # type: ignore[arg-type]
    assert sorted(kept.rows) == ["200,7", "200,7 first", "200,7 quotas", "200,7 quotas first"]
    assert all(row["verified"] and row["wrong"] == [] for row in kept.rows.values())
    assert 0 < kept.rows["200,7"]["bytes"] < kept.rows["200,7 first"]["bytes"] / 5


def test_an_idle_cycle_says_nothing() -> None:
    kept = Kept()
    offers.idle(kept, 100, seed=5, cycles=3)  # type: ignore[arg-type]
    assert kept.rows["idle cycle 100 agents"]["verified"]


@pytest.mark.parametrize("busy", [1, 3])
def test_who_is_alone_has_no_conflicts_and_who_is_not_is_placed_in_the_end(busy: int) -> None:
    kept = Kept()
    races.one(kept, busy, seed=5, agents=40)  # type: ignore[arg-type]
    row = kept.rows[f"conflicts {busy} busy"]
    assert row["verified"] and row["unplaced"] == 0 and row["placed"] > 0
    assert (row["conflicts"] > 0) == (busy > 1) == (row["cycles"] > 1)


def changed(sent: dict[str, list[bytes]], to: str, **columns: Any) -> dict[str, list[bytes]]:
    offer = decode(sent[to][0])
    fields = {name: columns.get(name, getattr(offer, name)) for name in offer._fields}
    return {**sent, to: [encode(say.OfferChanges(**fields))]}


def test_offers_that_break_their_laws_are_not_verified() -> None:
    made = offers.Cycles(50, 3, quotas=True, seed=5)
    made.first()
    made._freed(5)
    sent = made.far.tick(made.far.now_ms + offers.REFUSE_MS)
    to = "framework/f0001"
    wrong = {
        "frameworks were offered something": {name: each for name, each in sent.items() if name != to},
        "other messages than one offer": {**sent, to: sent[to] * 2},
        "may take [": changed(sent, to, headroom=np.full((1, 5), 2**40, dtype=np.int64)),
        "shown something else": changed(sent, to, shown=b"other"),
    }
    for said, broken in wrong.items():
        made.wrong, made.watched = [], {}
        made._check(broken, broken, made.names)
        assert any(said in line for line in made.wrong), (said, made.wrong)
    made.wrong = []
    made._check(sent, sent, made.names)
    assert made.wrong == []


@pytest.mark.parametrize("case", ["10k", "0,5", "a,b", "1,2,3"])
def test_a_case_that_is_none_is_an_error(case: str) -> None:
    with pytest.raises(ValueError, match=r"case|invalid literal"):
        offers.parsed(case)
