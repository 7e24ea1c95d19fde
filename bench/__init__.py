"""Benchmarks: each states orch's speed beside a peer or a ceiling that was measured in the same run."""
