"""Carries flows out over httpx: `Blocking` for `orch`, `Asyncio` for `orch.aio`. All logic is in the flows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from orch.client.effects import Call, Close, ConnectionLostError, Emit, Flow, Open, Read, Reply, Sleep
from orch.client.places import Place

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
CONNECT_S = 5.0


def _headers(place: Place) -> dict[str, str]:
    from orch import __version__

    return {"Authorization": f"Bearer {place.token}", "User-Agent": f"orch-python/{__version__}"}


def _options(place: Place) -> dict[str, Any]:
    return {"base_url": place.url, "headers": _headers(place), "trust_env": not place.is_loopback}


def _request(client: httpx.Client | httpx.AsyncClient, call: Call) -> httpx.Request:
    import httpx

    params = {name: value for name, value in call.params.items() if value is not None}
    timeout = httpx.Timeout(call.timeout_s, connect=CONNECT_S)
    return client.build_request(
        call.method, call.path, params=params, content=call.body, headers=dict(call.headers), timeout=timeout
    )


def _lost(error: httpx.HTTPError) -> ConnectionLostError:
    import httpx

    return ConnectionLostError(str(error) or type(error).__name__, not isinstance(error, httpx.ConnectError))


def _reply(response: httpx.Response, body: bytes) -> Reply:
    return Reply(response.status_code, {k.lower(): v for k, v in response.headers.items()}, body)


class _Outcome(NamedTuple):
    """What came of an effect."""

    value: Any
    error: Exception | None = None


def _advance(flow: Flow[Any], outcome: _Outcome) -> Any:
    """The flow's next effect. Raises StopIteration with the flow's result."""
    return flow.send(outcome.value) if outcome.error is None else flow.throw(outcome.error)


class Blocking:
    """For one thread at a time per flow; the connection pool may be shared by threads."""

    def __init__(self, place: Place, client: httpx.Client | None = None) -> None:
        import httpx

        self._client = client or httpx.Client(**_options(place))

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def run(self, flow: Flow[T]) -> T:
        """Carry a flow out; returns its result."""
        opened: list[httpx.Response] = []
        try:
            effect = next(flow)
            while True:
                effect = _advance(flow, self._outcome(effect, opened))
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            self._leave(flow, opened)

    def iterate(self, flow: Flow[None]) -> Iterator[Any]:
        """Carry a flow out; yields what it emits."""
        opened: list[httpx.Response] = []
        try:
            effect = next(flow)
            while True:
                if isinstance(effect, Emit):
                    yield effect.value
                    effect = flow.send(None)
                else:
                    effect = _advance(flow, self._outcome(effect, opened))
        except StopIteration:
            return
        finally:
            self._leave(flow, opened)

    def _leave(self, flow: Flow[Any], opened: list[httpx.Response]) -> None:
        flow.close()
        for response in opened:
            response.close()

    def _outcome(self, effect: Any, opened: list[httpx.Response]) -> _Outcome:
        try:
            return _Outcome(self._perform(effect, opened))
        except Exception as error:  # noqa: BLE001  whatever an effect raises is the flow's to handle
            return _Outcome(None, error)

    def _perform(self, effect: Any, opened: list[httpx.Response]) -> Any:
        import httpx

        try:
            if isinstance(effect, Call):
                response = self._client.send(_request(self._client, effect))
                return _reply(response, response.content)
            if isinstance(effect, Open):
                response = self._client.send(_request(self._client, effect.call), stream=True)
                opened.append(response)
                body = response.read() if response.status_code >= 400 else b""
                return _reply(response, body), (response, response.iter_bytes())
            if isinstance(effect, Read):
                return next(effect.stream[1], b"")
            if isinstance(effect, Close):
                return effect.stream[0].close()
        except httpx.HTTPError as error:
            raise _lost(error) from error
        assert isinstance(effect, Sleep), effect
        return time.sleep(effect.seconds)


class Asyncio:
    """For one event loop."""

    def __init__(self, place: Place, client: httpx.AsyncClient | None = None) -> None:
        import httpx

        self._client = client or httpx.AsyncClient(**_options(place))

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def run(self, flow: Flow[T]) -> T:
        """Carry a flow out; returns its result."""
        opened: list[httpx.Response] = []
        try:
            effect = next(flow)
            while True:
                effect = _advance(flow, await self._outcome(effect, opened))
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            await self._leave(flow, opened)

    async def iterate(self, flow: Flow[None]) -> AsyncIterator[Any]:
        """Carry a flow out; yields what it emits."""
        opened: list[httpx.Response] = []
        try:
            effect = next(flow)
            while True:
                if isinstance(effect, Emit):
                    yield effect.value
                    effect = flow.send(None)
                else:
                    effect = _advance(flow, await self._outcome(effect, opened))
        except StopIteration:
            return
        finally:
            await self._leave(flow, opened)

    async def _leave(self, flow: Flow[Any], opened: list[httpx.Response]) -> None:
        flow.close()
        for response in opened:
            await response.aclose()

    async def _outcome(self, effect: Any, opened: list[httpx.Response]) -> _Outcome:
        try:
            return _Outcome(await self._perform(effect, opened))
        except Exception as error:  # noqa: BLE001  whatever an effect raises is the flow's to handle
            return _Outcome(None, error)

    async def _perform(self, effect: Any, opened: list[httpx.Response]) -> Any:
        import httpx

        try:
            if isinstance(effect, Call):
                response = await self._client.send(_request(self._client, effect))
                return _reply(response, response.content)
            if isinstance(effect, Open):
                response = await self._client.send(_request(self._client, effect.call), stream=True)
                opened.append(response)
                body = await response.aread() if response.status_code >= 400 else b""
                return _reply(response, body), (response, response.aiter_bytes())
            if isinstance(effect, Read):
                return await anext(effect.stream[1], b"")
            if isinstance(effect, Close):
                return await effect.stream[0].aclose()
        except httpx.HTTPError as error:
            raise _lost(error) from error
        assert isinstance(effect, Sleep), effect
        return await asyncio.sleep(effect.seconds)
