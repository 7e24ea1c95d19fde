"""Where pods may go and where they go first: constraints, preferences and affinity, of jobs, apps and pods alike."""

from __future__ import annotations

from orch.model.specs import limits, paths
from orch.model.specs.problems import Problems
from orch.model.specs.raw import Body, children, items, text, upper
from orch.model.specs.rules import OPERATORS, check_constraint
from orch.model.specs.template import AffinityTemplate, ConstraintTemplate
from orch.model.specs.wire import Affinity, Constraint

COUNTING = ("UNIQUE", "MAX_PER", "GROUP_BY", "CLUSTER")
PREFERRED = ("LIKE", "UNLIKE", "IS")


def check_triples(body: Body, problems: Problems) -> None:
    """Of jobs and apps: constraints and preferences as lists of attribute, operator and perhaps a value; affinity."""
    operators = []
    for index, rule in enumerate(items(body, "constraints")):
        if _is_triple(rule):
            value = rule[2] if len(rule) == 3 else None
            check_constraint(rule[0], rule[1].upper(), value, f"/constraints({index})", problems, values_required=False)
            operators.append(rule[1].upper())
    wanted = [rule for rule in items(body, "preferences") if _is_triple(rule)]
    for index, rule in enumerate(wanted):
        _check_preference(
            rule[0], rule[1].upper(), rule[2] if len(rule) == 3 else None, f"/preferences({index})", problems
        )
    _check_affinity(body, operators, len(wanted), "", problems)


def check_placement(placement: Body, at: str, problems: Problems) -> None:
    """Of pods: the object `placement`, with constraints and preferences as objects. at: its path."""
    operators = [upper(rule, "operator") or "" for _, rule in children(placement, "constraints")]
    for index, rule in children(placement, "constraints"):
        if upper(rule, "operator") in OPERATORS:
            check_constraint(
                text(rule, "fieldName"), upper(rule, "operator"), text(rule, "value"), f"{at}/constraints({index})",
                problems, values_required=True,
            )  # fmt: skip
    for index, rule in children(placement, "preferences"):
        _check_preference(
            text(rule, "fieldName"),
            upper(rule, "operator"),
            text(rule, "value"),
            f"{at}/preferences({index})",
            problems,
        )
    _check_affinity(placement, operators, len(items(placement, "preferences")), at, problems)


def triples(rules: list[list[str]]) -> tuple[ConstraintTemplate, ...]:
    """The normal form of checked lists."""
    return tuple(ConstraintTemplate(rule[0], rule[1].upper(), rule[2] if len(rule) == 3 else None) for rule in rules)


def objects(rules: list[Constraint]) -> tuple[ConstraintTemplate, ...]:
    """The normal form of checked objects."""
    return tuple(ConstraintTemplate(rule.field_name, rule.operator.upper(), rule.value) for rule in rules)


def affinities(found: list[Affinity], own: str = "") -> tuple[AffinityTemplate, ...]:
    """The normal form of checked affinity. own: a path that means the same as none."""
    rows = [(paths.absolute(one.to) if one.to else "", one) for one in found]
    return tuple(
        AffinityTemplate("" if to == own else to, one.on, one.operator.lower() == "near", one.required)
        for to, one in rows
    )


def _is_triple(rule: object) -> bool:
    return isinstance(rule, list) and len(rule) in (2, 3) and all(isinstance(part, str) for part in rule)


def _check_preference(field: str | None, operator: str, value: str | None, at: str, problems: Problems) -> None:
    if operator in COUNTING:
        problems.add(
            at,
            f"{operator} asks where other pods are; a preference is {', '.join(PREFERRED)}. "
            "Write an affinity that is not required",
        )
        return
    check_constraint(field, operator, value, at, problems, values_required=False)


def _check_affinity(body: Body, operators: list[str], preferences: int, at: str, problems: Problems) -> None:
    """And that not too much is asked: the kernel has room for so many rules and preferences."""
    required = [one for _, one in children(body, "affinity") if one.get("required", True)]
    for index, one in children(body, "affinity"):
        to = text(one, "to")
        if to is None:
            continue
        where = f"{at}/affinity({index})/to"
        if not to.startswith("/"):
            problems.add(
                where, f"{to[:80]!r} is no absolute path: write it as /team/web, or leave it out for its own pods"
            )
        for fault in paths.faults(to):
            problems.add(where, fault)
    counting = sum(operator in COUNTING for operator in operators)
    if counting > limits.COUNTING:
        message = f"{counting} constraints are UNIQUE, MAX_PER, GROUP_BY or CLUSTER; at most {limits.COUNTING} may be"
        problems.add(f"{at}/constraints", message)
    elif counting + len(required) > limits.COUNTING:
        message = f"{counting} constraints ask where pods are, and {len(required)} affinities are required"
        problems.add(f"{at}/affinity", f"{message}: together at most {limits.COUNTING}")
    preferred = preferences + len(items(body, "affinity")) - len(required)
    if preferred > limits.PREFERRED:
        problems.add(
            f"{at}/preferences", f"{preferred} preferences and preferred affinities; at most {limits.PREFERRED} may be"
        )
