"""The journal and its snapshots: what a restart rests on. Bytes in, bytes out; it does not know what they mean."""

from orch.store.interface import Entry, Store, StoreError
from orch.store.sqlite import SqliteStore

__all__ = ["Entry", "SqliteStore", "Store", "StoreError"]
