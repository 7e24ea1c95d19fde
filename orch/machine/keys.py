"""Idempotency keys: a request that is sent twice is carried out once, and answered twice with the same words."""

from __future__ import annotations

from typing import Any

from orch.machine.commands import Reply
from orch.model.errors import ConflictError, NotFoundError, OrchError

MAX_KEYS = 100_000


class Keys:
    """The answers to the last requests that had a key, by (user, key). Bounded: the oldest is forgotten first.

    Refusals are answers too, where they depend on what there was at the time: who was told that there is no such thing
    must not find later that a doubled message was carried out after all.
    """

    def __init__(self, most: int = MAX_KEYS) -> None:
        self._most = most
        self._answers: dict[tuple[str, str], tuple[Any, dict[str, Any] | None]] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def again(self, request: str, user: str, key: str) -> Reply | None:
        """The reply that this key got, addressed to `request`; None for a new key. The empty one is always new."""
        known = self._answers.get((user, key)) if key else None
        return None if known is None else Reply(request, *known)

    def put(self, user: str, key: str, body: Any, error: dict[str, Any] | None = None) -> None:
        """Remember plain data as the answer, or an error body; the empty key is not remembered."""
        if not key:
            return
        self._answers[user, key] = (body, error)
        while len(self._answers) > self._most:
            del self._answers[next(iter(self._answers))]

    def to_list(self) -> list[Any]:
        """`[[user, key, body, error]]`, oldest first, for a snapshot."""
        return [[*whose, *answer] for whose, answer in self._answers.items()]

    def restore(self, image: list[Any]) -> None:
        """Become what `to_list` gave."""
        self._answers = {(user, key): (body, error) for user, key, body, error in image}


def is_answer(error: OrchError) -> bool:
    """Whether a refusal is to be remembered: another time, the same request might be carried out."""
    return isinstance(error, NotFoundError | ConflictError)
