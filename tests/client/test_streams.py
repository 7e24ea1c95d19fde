"""Replies that go on: frames and flows, carried out in any pieces and with any mishap."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import orch
from orch.client.effects import Call, Close, ConnectionLostError, Emit, Open, Read, Reply, Sleep
from orch.client.flows import base, jobs, streams
from orch.client.flows.base import Wire
from orch.client.flows.streams import FrameParser
from orch.client.places import Place
from orch.model.codec import encode


@given(st.lists(st.binary(max_size=50), max_size=8), st.integers(1, 60))
def test_frames_come_whole_from_any_pieces(frames: list[bytes], size: int) -> None:
    data = b"".join(len(frame).to_bytes(4, "little") + frame for frame in frames)
    parser = FrameParser()
    found = [frame for at in range(0, len(data), size) for frame in parser.feed(data[at : at + size])]
    assert found == frames and parser.is_empty
    parser.feed(b"\5\0\0\0abc")
    assert not parser.is_empty


def framed(value: Any) -> bytes:
    data = encode(value)
    return len(data).to_bytes(4, "little") + data


def wire(reached: bool = True) -> Wire:
    found = Wire(Place("http://127.0.0.1:1", "t"))
    found.reached = reached
    return found


OK = Reply(200, {}, b"{}")
LOST = ConnectionLostError("reset", reached=True)
AWAY = Reply(503, {}, b'{"type": "urn:orch:error:unavailable", "detail": "away"}')
BAD = Reply(409, {}, b'{"type": "urn:orch:error:conflict", "detail": "no"}')


def play(flow: Generator[Any, Any, Any], answers: list[Any]) -> tuple[Any, list[Any]]:
    """Carry a flow out against a script of what its calls and reads give; returns its result and all effects."""
    seen: list[Any] = []
    script = iter(answers)
    try:
        effect = next(flow)
        while True:
            seen.append(effect)
            if isinstance(effect, Sleep | Close | Emit):
                effect = flow.send(None)
                continue
            answer = next(script)
            effect = flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)
    except StopIteration as end:
        return end.value, seen


def test_a_call_is_sent_again_while_the_gateway_is_away() -> None:
    call = Call("POST", "/v2/jobs")
    reply, seen = play(wire().send(call), [LOST, AWAY, OK])
    assert reply is OK
    assert [type(effect) for effect in seen] == [Call, Sleep, Call, Sleep, Call]
    assert seen[0] is seen[2] is seen[4], "the same call, and so the same idempotency key"


def test_a_refusal_is_not_sent_again() -> None:
    with pytest.raises(orch.ConflictError, match="no"):
        play(wire().send(Call("POST", "/x")), [BAD])


def test_what_may_not_be_sent_twice_is_not() -> None:
    with pytest.raises(orch.UnavailableError, match="was lost"):
        play(wire().send(Call("POST", "/x", again=False)), [LOST])


def test_a_cluster_that_was_never_reached_is_not_waited_for() -> None:
    with pytest.raises(orch.UnavailableError, match=r"no cluster at http://127\.0\.0\.1:1"):
        play(wire(reached=False).send(Call("GET", "/x")), [ConnectionLostError("refused", reached=False)])


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr(base.time, "monotonic", lambda: next(clock))
    with pytest.raises(orch.UnavailableError, match="away"):
        play(wire().send(Call("GET", "/x")), [AWAY] * 100)


def test_every_change_has_a_key_of_its_own() -> None:
    keys = []
    for _ in range(2):
        flow = wire().change("PUT", "/x", {"a": 1})
        keys.append(next(flow).headers["Idempotency-Key"])
    assert len(set(keys)) == 2 and all(keys)
    assert next(wire().change("PUT", "/x", key="mine")).headers["Idempotency-Key"] == "mine"


def opened(name: str) -> tuple[Reply, str]:
    return OK, name


def test_frames_that_are_cut_off_are_asked_for_again() -> None:
    call = Call("GET", "/outputs")
    whole = framed({"n": 1}) + framed({"end": True})
    for first in ([whole[:3], LOST], [framed({"n": 1}), b""]):
        answers = [opened("first"), *first, opened("second"), whole, b""]
        found, seen = play(streams.frames(wire(), call), answers)
        assert found == [{"n": 1}]
        assert [effect.call for effect in seen if isinstance(effect, Open)] == [call, call]
    with pytest.raises(orch.UnavailableError, match="broke off"):
        play(streams.frames(wire(), call), [opened("s"), LOST] * 10)


def test_an_error_in_a_frame_is_raised() -> None:
    body = orch.ExpiredError("gone").to_dict()
    with pytest.raises(orch.ExpiredError, match="gone"):
        play(streams.frames(wire(), Call("GET", "/x")), [opened("s"), framed({"error": body}), b""])


def test_a_stream_of_events_is_taken_up_where_it_was() -> None:
    first, second = b'id: 4.1\nevent: job\ndata: {"n": 1}\n\n', b'id: 4.2\nevent: job\ndata: {"n": 2}\n\n'
    flow = streams.events(wire(), {"since": None}, follow=True)
    seen: list[Any] = []
    effect = next(flow)
    for answer in (opened("a"), first, None, LOST, None, None, opened("b"), second, None):
        seen.append(effect)
        effect = flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)
    emitted = [one.value for one in seen if isinstance(one, Emit)]
    assert emitted == [{"id": "4.1", "type": "job", "n": 1}, {"id": "4.2", "type": "job", "n": 2}]
    assert [one.call.params["since"] for one in seen if isinstance(one, Open)] == [None, "4.1"]
    assert isinstance(effect, Read)


def test_a_stream_that_always_breaks_is_given_up() -> None:
    with pytest.raises(orch.UnavailableError, match="broke 6 times in a row"):
        play(streams.events(wire(), {}, follow=True), [opened("s"), LOST] * 10)


def test_a_reply_that_is_no_error_body() -> None:
    error = Reply(502, {}, b"<html>Bad Gateway</html>").error()
    assert error is not None and "502: <html>" in error.detail
    assert isinstance(Reply(404, {}, b"").error(), orch.NotFoundError)
    assert Reply(204, {}, b"").error() is None and Reply(204, {}, b"").data is None


def test_the_rest_of_an_output_that_filled_its_piece_is_fetched() -> None:
    whole = bytes(jobs.WHOLE_BYTES)
    assert play(jobs._rest(wire(), 7, 0, "stdout", whole[1:]), []) == (whole[1:], [])
    rest, seen = play(jobs._rest(wire(), 7, 0, "stdout", whole), [Reply(200, {}, b"more"), Reply(200, {}, b"")])
    assert rest == whole + b"more"
    assert [call.params["offset"] for call in seen] == [len(whole), len(whole) + 4]
