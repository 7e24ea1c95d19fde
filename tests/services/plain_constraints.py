"""The rules of constraints, agent by agent and value by value: the oracle of `orch/services/constraints.py`."""

from __future__ import annotations

import re

Values = list[str | None]


def allowed(operator: str, value: str | None, offered: Values, used: Values) -> list[bool]:
    """Which agents one rule allows. offered: the attribute of each agent, None where it has none or is not usable."""
    if operator == "UNLIKE":
        pattern = pattern_of(value)
        return [have is None or pattern is None or not pattern.fullmatch(have) for have in offered]
    fits = fitting(operator, value, known(offered), used)
    return [have is not None and have in fits for have in offered]


def fitting(operator: str, value: str | None, offered: list[str], used: Values) -> list[str]:
    """The values that a rule allows."""
    count = {have: used.count(have) for have in offered}
    match operator:
        case "UNIQUE":
            return [have for have in offered if not count[have]]
        case "MAX_PER":
            return [have for have in offered if count[have] < (int(value) if value and value.isdecimal() else 0)]
        case "GROUP_BY":
            if value and value.isdecimal() and len(known(used)) < int(value):
                return [have for have in offered if not count[have]]
            return [have for have in offered if count[have] == min(count.values(), default=0)]
        case "CLUSTER":
            return [value] if value is not None else known(used)[:1] or offered
        case "LIKE":
            pattern = pattern_of(value)
            return [have for have in offered if pattern is not None and pattern.fullmatch(have)]
        case _:
            return [] if value is None else [value]


def known(values: Values) -> list[str]:
    """Each value once, in order."""
    return [value for value in dict.fromkeys(values) if value is not None]


def pattern_of(text: str | None) -> re.Pattern[str] | None:
    """None where the text is no pattern."""
    try:
        return re.compile(text or "")
    except re.error:
        return None
