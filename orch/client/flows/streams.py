"""Reading replies that go on: server-sent events, frames of outputs, logs."""

from __future__ import annotations

import json
from typing import Any

from orch.client.effects import Call, Close, ConnectionLostError, Emit, Flow, Read, Sleep, in_path
from orch.client.flows.base import Wire
from orch.model.errors import OrchError, UnavailableError

SILENCE_S = 60.0
"""A stream says something (if only a ping) more often than this, or it is broken."""
RECONNECTS = 5
_HEAD_BYTES = 4


class SseParser:
    """Server-sent events out of bytes, in whatever pieces they come."""

    def __init__(self) -> None:
        self._rest = b""
        self.last_id = ""

    def feed(self, data: bytes) -> list[tuple[str, str, dict[str, Any]]]:
        """The events `(id, type, data)` that are whole now."""
        blocks = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n\n")
        self._rest = blocks.pop()
        found = []
        for block in blocks:
            fields: dict[str, str] = {}
            for line in block.decode("utf-8", "replace").split("\n"):
                name, _, value = line.partition(":")
                if name:
                    value = value.removeprefix(" ")
                    fields[name] = f"{fields[name]}\n{value}" if name == "data" and name in fields else value
            if "data" in fields:
                self.last_id = fields.get("id", self.last_id)
                found.append((self.last_id, fields.get("event", "message"), json.loads(fields["data"])))
        return found


class FrameParser:
    """Frames, each a length of 4 bytes (little-endian) and as many bytes, in whatever pieces they come."""

    def __init__(self) -> None:
        self._rest = bytearray()

    @property
    def is_empty(self) -> bool:
        """Whether everything so far was whole frames."""
        return not self._rest

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are whole now."""
        self._rest += data
        found, at = [], 0
        while len(self._rest) - at >= _HEAD_BYTES:
            size = int.from_bytes(self._rest[at : at + _HEAD_BYTES], "little")
            if len(self._rest) - at - _HEAD_BYTES < size:
                break
            found.append(bytes(self._rest[at + _HEAD_BYTES : at + _HEAD_BYTES + size]))
            at += _HEAD_BYTES + size
        del self._rest[:at]
        return found


def events(wire: Wire, params: dict[str, Any], follow: bool) -> Flow[None]:
    """Emit events as dicts `{id, index, at_ms, type, ...}`; a stream that breaks is taken up again where it was."""
    since = params.get("since")
    failures = 0
    while True:
        parser = SseParser()
        asked = {**params, "since": since, "follow": str(follow).lower()}
        stream = yield from wire.open(Call("GET", "/v2/events::orch", asked, timeout_s=SILENCE_S))
        try:
            while data := (yield Read(stream)):
                for identity, kind, body in parser.feed(data):
                    failures, since = 0, identity or since
                    yield Emit({"id": identity, "type": kind, **body})
        except ConnectionLostError as lost:
            failures += 1
            if failures > RECONNECTS:
                raise UnavailableError(
                    f"the event stream broke {failures} times in a row ({lost}). See `orch status`."
                ) from None
            yield Close(stream)
            yield Sleep(0.2 * failures)
            continue
        if not follow:
            return
        failures += 1
        yield Sleep(min(1.0, 0.2 * failures))


def logs(wire: Wire, instance: str | int, params: dict[str, Any]) -> Flow[None]:
    """Emit the bytes of a log as they come."""
    call = Call("GET", f"/v2/instances/{in_path(instance)}/logs", params, timeout_s=SILENCE_S * 60)
    stream = yield from wire.open(call)
    try:
        while data := (yield Read(stream)):
            yield Emit(data)
    except ConnectionLostError as lost:
        raise UnavailableError(f"the log broke off ({lost}). Ask again.") from None


def frames(wire: Wire, call: Call) -> Flow[list[Any]]:
    """All decoded frames of a reply. Raises the error in a frame, UnavailableError where the reply is cut off."""
    from orch.model.codec import decode
    from orch.model.errors import from_dict

    for attempt in range(RECONNECTS):
        found: list[Any] = []
        parser = FrameParser()
        stream = yield from wire.open(call)
        try:
            while data := (yield Read(stream)):
                found.extend(decode(frame) for frame in parser.feed(data))
        except ConnectionLostError:
            yield Close(stream)
            yield Sleep(0.2 * (attempt + 1))
            continue
        if found and isinstance(found[-1], dict) and "error" in found[-1]:
            error: OrchError = from_dict(found[-1]["error"])
            raise error
        if found and isinstance(found[-1], dict) and found[-1].get("end"):
            return found[:-1]
    raise UnavailableError("the outputs broke off several times. See `orch status`, then ask again.")
