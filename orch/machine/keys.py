"""Idempotency keys: a request that is sent twice is carried out once, and answered twice with the same words.

A key may carry a digest of what was asked (`sealed`): the same key with something else is then a conflict, no answer.
"""

from __future__ import annotations

from typing import Any

from orch.machine.commands import Reply
from orch.model.errors import ConflictError, NotFoundError, OrchError

MAX_KEYS = 100_000
_SEAL = "\n"
"""Between a key and its digest; a client's key is printable, so it has none."""


def sealed(key: str, digest: str) -> str:
    """The key with a digest of what is asked under it; the empty key stays empty."""
    return f"{key}{_SEAL}{digest}" if key else ""


class Keys:
    """The answers to the last requests that had a key, by (user, key). Bounded: the oldest is forgotten first.

    Refusals are answers too, where they depend on what there was at the time: who was told that there is no such thing
    must not find later that a doubled message was carried out after all.
    """

    def __init__(self, most: int = MAX_KEYS) -> None:
        self._most = most
        self._answers: dict[tuple[str, str], tuple[str, Any, dict[str, Any] | None]] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def again(self, request: str, user: str, key: str) -> Reply | None:
        """The reply that this key got, addressed to `request`; None for a new key. The empty one is always new.

        A key that was used for something else gets a conflict.
        """
        plain, _, digest = key.partition(_SEAL)
        known = self._answers.get((user, plain)) if plain else None
        if known is None:
            return None
        before, body, error = known
        if digest != before:
            text = f'the key "{plain}" was used before for something else; take a key of its own for this'
            return Reply(request, error=ConflictError(text).to_dict())
        return Reply(request, body, error)

    def put(self, user: str, key: str, body: Any, error: dict[str, Any] | None = None) -> None:
        """Remember plain data as the answer, or an error body; the empty key is not remembered."""
        if not key:
            return
        plain, _, digest = key.partition(_SEAL)
        self._answers[user, plain] = (digest, body, error)
        while len(self._answers) > self._most:
            del self._answers[next(iter(self._answers))]

    def to_list(self) -> list[Any]:
        """`[[user, key, body, error]]`, oldest first, for a snapshot."""
        return [
            [user, sealed(key, digest) if digest else key, body, error]
            for (user, key), (digest, body, error) in self._answers.items()
        ]

    def restore(self, image: list[Any]) -> None:
        """Become what `to_list` gave."""
        self._answers = {}
        for user, key, body, error in image:
            self.put(user, key, body, error)


def is_answer(error: OrchError) -> bool:
    """Whether a refusal is to be remembered: another time, the same request might be carried out."""
    return isinstance(error, NotFoundError | ConflictError)
