"""Each operator equals the plain rule, whatever agents, values and instances there are."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orch.model.specs import limits
from orch.model.specs.template import ConstraintTemplate, ContainerTemplate, Template
from orch.placement import Cluster, Demand
from orch.placement.attributes import Agents
from orch.placement.rules import RULES_MOST
from orch.services import constraints
from orch.services.registry import Registry
from orch.services.service import Instance, Service, Spec
from tests.services.plain_constraints import allowed

zones = st.sampled_from([None, "a", "b", "c", "ab"])
values = st.sampled_from([None, "", "0", "1", "2", "3", "x", "a", "a.*", "(", "b|c"])
operators = st.sampled_from(["UNIQUE", "MAX_PER", "GROUP_BY", "CLUSTER", "LIKE", "UNLIKE", "IS"])


def service_on(rows: list[int], rule: ConstraintTemplate) -> Service:
    """A service with one constraint, and an instance on each of these agents."""
    template = Template("/web", "pod", (ContainerTemplate("app", shell="serve"),), constraints=(rule,))
    instances = {at: Instance(at, at, "/web", 1, row, 0) for at, row in enumerate(rows)}
    return Service("/web", "", 1, 9, 0, 0, specs={1: Spec(1, 0, {}, {}, template)}, instances=instances)


@given(st.lists(st.tuples(zones, st.booleans()), min_size=1, max_size=8), operators, values, st.data())
def test_an_instance_goes_where_the_plain_rule_allows_one_and_nowhere_else(
    agents: list[tuple[str | None, bool]], operator: str, value: str | None, data: st.DataObject
) -> None:
    """All agents are alike and hold one pod each, so that only the rule says where it may go."""
    attributes = [{} if zone is None else {"zone": zone} for zone, _ in agents]
    usable = np.array([can for _, can in agents], dtype=np.uint8)
    rows = data.draw(st.lists(st.integers(0, len(agents) - 1), max_size=6))
    if operator == "CLUSTER" and value is None:  # they are all where the first is, or it would not be one
        rows = rows[:1]
    service = service_on(rows, ConstraintTemplate("zone", operator, value))
    rules, mask = constraints.limits(Registry(), [service], Agents(attributes, [""] * len(agents)))
    free = np.ones((len(agents), 5), dtype=np.int32)
    match = Cluster(free, free, usable).match(free[:1], Demand.of([0], [1]), allowed=mask, rules=rules)
    offered = [zone if can else None for zone, can in agents]
    plain = allowed(operator, value, offered, [agents[row][0] for row in rows])
    may = [row for row, fits in enumerate(plain) if fits and usable[row]]
    assert match.agent[0] in may if may else match.agent[0] == -1


def test_an_agent_without_a_hostname_goes_by_its_name() -> None:
    attributes = [{"hostname": "h"}, {}, {"hostname": "h"}]
    coded = Agents(attributes, ["a1", "a2", "a3"]).coded("hostname")
    assert [coded.values[code] for code in coded.codes] == ["h", "a2", "h"]


def test_the_kernel_has_room_for_all_rules_that_a_spec_may_have() -> None:
    assert limits.COUNTING + 1 <= RULES_MOST
