"""The agent's end of the line to its master: registering, numbering, resending until acknowledged, heartbeats."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from orch.model.messages import FleetRegister, Goodbye, Heartbeat, Register, UpdateBatch

HEARTBEAT_MS = 1_000
RESEND_MS = 2_000
IN_FLIGHT = 2
"""Update batches on their way at once: one at the master and one behind it; the rest gathers meanwhile."""


class Link:
    """`session` is 0 while the agent is not let in; then nothing but `Register` is sent."""

    def __init__(self, agent: str, nonce: str, send: Callable[[Any], None]) -> None:
        self._agent, self._nonce, self._send = agent, nonce, send
        self._tries = 0
        self.session = 0
        self.epoch = 0
        self.received_seq = 0
        self._seq = 0
        self._in_flight: deque[tuple[UpdateBatch, int]] = deque()
        self._beat_ms = 0
        self.usage: dict[str, float] = {}

    @property
    def nonce(self) -> str:
        """Names the registration that is wanted; an answer to an older one is ignored."""
        return f"{self._nonce}.{self._tries}"

    def register(self, now_ms: int, make: Callable[[str], Register | FleetRegister]) -> None:
        """Give up the session, if any, and ask for a new one, which fences off what is under way in the old one."""
        self.session = 0
        self._tries += 1
        self._in_flight.clear()
        self._ask(now_ms, make)

    def registered(self, now_ms: int, session: int, epoch: int) -> None:
        """A session begins: both sides number from 1 again."""
        self.session, self.epoch = session, epoch
        self.received_seq = self._seq = 0
        self._beat_ms = now_ms + HEARTBEAT_MS

    def current(self, epoch: int, session: int) -> bool:
        """Whether a message belongs to this session."""
        return self.session != 0 and (epoch, session) == (self.epoch, self.session)

    def take(self, seq: int) -> bool | None:
        """Whether a numbered message is the next one: True; False for one that came before; None for a gap."""
        if seq <= self.received_seq:
            return False
        if seq > self.received_seq + 1:
            return None
        self.received_seq = seq
        return True

    def room(self) -> bool:
        """Whether another update batch may leave now."""
        return self.session != 0 and len(self._in_flight) < IN_FLIGHT

    def next_seq(self) -> int:
        """The number of the next update batch."""
        self._seq += 1
        return self._seq

    def update(self, now_ms: int, batch: UpdateBatch) -> None:
        """Send an update batch, and keep it until it is acknowledged."""
        self._in_flight.append((batch, now_ms))
        self._send(batch)

    def acknowledged(self, seq: int) -> None:
        """The master has all batches up to `seq`."""
        while self._in_flight and self._in_flight[0][0].seq <= seq:
            self._in_flight.popleft()

    def leave(self) -> None:
        """Say goodbye, if we are let in. Whoever lives on all the same asks to be let in again, like after a loss."""
        if self.session:
            self._send(Goodbye(self._agent, self.session, self.epoch))
        self.session = 0
        self._in_flight.clear()

    def tick(self, now_ms: int, make: Callable[[str], Register | FleetRegister]) -> None:
        """Whatever is due: asking again, resending, the heartbeat."""
        if self.session == 0:
            if self._tries and now_ms >= self._beat_ms:
                self._ask(now_ms, make)
            return
        if self._in_flight and now_ms >= self._in_flight[0][1] + RESEND_MS:
            batches = [batch for batch, _ in self._in_flight]
            self._in_flight.clear()
            for batch in batches:
                self.update(now_ms, batch)
        if now_ms >= self._beat_ms:
            self._beat_ms = now_ms + HEARTBEAT_MS
            self._send(Heartbeat(self._agent, self.session, self.epoch, self.received_seq, now_ms, self.usage))

    def wake_ms(self) -> int | None:
        """When `tick` has something to do; None before the first `register`."""
        if not self._tries:
            return None
        resend = self._in_flight[0][1] + RESEND_MS if self._in_flight else self._beat_ms
        return min(self._beat_ms, resend)

    def _ask(self, now_ms: int, make: Callable[[str], Register | FleetRegister]) -> None:
        self._beat_ms = now_ms + HEARTBEAT_MS
        self._send(make(self.nonce))
