"""The nouns: resources, states, reasons, ids, errors, columns, messages and facts, and the codec that carries them.

Nothing here does I/O or knows the time. Specs are in `orch.model.specs`, loaded on first use because they need
pydantic.
"""
