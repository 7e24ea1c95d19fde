"""The templates of jobs that have not finished: equal ones are kept once, and sent once in a payload."""

from __future__ import annotations

from typing import Any

from orch.model.codec import decode, encode


class Templates:
    """Numbered, counted by reference. Kept encoded: a decoded template is some ten times larger."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._kept: dict[int, list[Any]] = {}
        self._wires: dict[int, dict[str, Any]] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self._kept)

    def intern(self, wire: dict[str, Any]) -> int:
        """The number of this template; one more reference to it."""
        data = encode(wire)
        number = self._numbers.get(data)
        if number is None:
            number = self._next
            self._next += 1
            self._numbers[data] = number
            self._kept[number] = [data, 0]
        self._kept[number][1] += 1
        return number

    def release(self, number: int) -> None:
        """One reference less; the last one drops it."""
        kept = self._kept[number]
        kept[1] -= 1
        if kept[1] == 0:
            del self._kept[number], self._numbers[kept[0]]
            self._wires.pop(number, None)

    def wire(self, number: int) -> dict[str, Any]:
        """The wire form of a template."""
        wire = self._wires.get(number)
        if wire is None:
            wire = self._wires[number] = decode(self._kept[number][0])
        return wire

    def uses(self) -> dict[int, int]:
        """References by number, for checks."""
        return {number: kept[1] for number, kept in self._kept.items()}

    def to_list(self) -> list[Any]:
        """`[next number, [[number, bytes, references]]]`, for a snapshot."""
        return [self._next, [[number, *kept] for number, kept in self._kept.items()]]

    def restore(self, image: list[Any]) -> None:
        """Become what `to_list` gave."""
        self._next = image[0]
        self._kept = {number: [data, uses] for number, data, uses in image[1]}
        self._numbers = {kept[0]: number for number, kept in self._kept.items()}
        self._wires = {}
