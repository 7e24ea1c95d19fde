"""Which host ports of the agent's range are given out. Ports are used in turn, so that one just freed rests a while."""

from __future__ import annotations

from orch.model.specs.template import Template

AVOID_MS = 60_000
"""How long a port that somebody else held is not tried again."""


class Ports:
    """The ports `first..last` of one agent."""

    def __init__(self, first: int, last: int) -> None:
        assert 0 < first <= last < 65_536, (first, last)
        self._first, self._count = first, last - first + 1
        self._next = 0
        self._used: dict[int, int] = {}
        self._avoid: dict[int, int] = {}

    def choose(self, now_ms: int, template: Template) -> list[list[int]] | None:
        """Free host ports for each container's endpoints, in order, not held yet; None if the range has too few left.

        An endpoint's own fixed port is given as it is, unless another instance holds it: then None. Whether a process
        that is not ours has it is seen at the start. One that needs no port of the agent gets 0.
        """
        taken: set[int] = set()
        given = []
        for container in template.containers:
            ports = []
            for endpoint in container.endpoints:
                port = self._one(now_ms, taken) if endpoint.host_port == 0 else endpoint.host_port or 0
                if port is None or (endpoint.host_port and port in self._used):
                    return None
                taken.add(port)
                ports.append(port)
            given.append(ports)
        return given

    def hold(self, ports: list[list[int]]) -> None:
        """Mark ports as used."""
        for port in _flat(ports):
            self._used[port] = self._used.get(port, 0) + 1

    def release(self, ports: list[list[int]]) -> None:
        """Give ports back."""
        for port in _flat(ports):
            left = self._used[port] - 1
            if left:
                self._used[port] = left
            else:
                del self._used[port]

    def avoid(self, now_ms: int, ports: list[int]) -> None:
        """Somebody else holds these: leave them alone for a while."""
        for port in ports:
            self._avoid[port] = now_ms + AVOID_MS

    def _one(self, now_ms: int, taken: set[int]) -> int | None:
        for step in range(self._count):
            port = self._first + (self._next + step) % self._count
            if port not in self._used and port not in taken and self._avoid.get(port, 0) <= now_ms:
                self._next = (self._next + step + 1) % self._count
                return port
        return None


def _flat(ports: list[list[int]]) -> list[int]:
    return [port for some in ports for port in some if port]
