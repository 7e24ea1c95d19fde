"""Each operator over coded attributes equals the plain rule, whatever agents, values and instances there are."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orch.model.specs.template import ConstraintTemplate
from orch.services.attributes import Agents
from orch.services.constraints import allowed_by
from tests.services.plain_constraints import allowed

zones = st.sampled_from([None, "a", "b", "c", "ab"])
values = st.sampled_from([None, "", "0", "1", "2", "3", "x", "a", "a.*", "(", "b|c"])
operators = st.sampled_from(["UNIQUE", "MAX_PER", "GROUP_BY", "CLUSTER", "LIKE", "UNLIKE", "IS"])


@given(st.lists(st.tuples(zones, st.booleans()), max_size=8), operators, values, st.data())
def test_a_rule_equals_the_plain_one(
    agents: list[tuple[str | None, bool]], operator: str, value: str | None, data: st.DataObject
) -> None:
    attributes = [{} if zone is None else {"zone": zone} for zone, _ in agents]
    usable = np.array([can for _, can in agents], dtype=np.uint8)
    rows = data.draw(st.lists(st.integers(0, len(agents) - 1), max_size=6)) if agents else []
    coded = Agents(attributes, [""] * len(agents), usable).coded("@zone")
    rule = ConstraintTemplate("zone", operator, value)
    found = allowed_by(rule, coded, np.array(rows, dtype=np.int64), usable.astype(bool))
    offered = [zone if can else None for zone, can in agents]
    assert found.tolist() == allowed(operator, value, offered, [agents[row][0] for row in rows])


def test_an_agent_without_a_hostname_goes_by_its_name() -> None:
    attributes = [{"hostname": "h"}, {}, {"hostname": "h"}]
    coded = Agents(attributes, ["a1", "a2", "a3"], np.ones(3, np.uint8)).coded("hostname")
    assert [coded.values[code] for code in coded.codes] == ["h", "a2", "h"]
