"""What the app is told at its start: tokens, folders and the limits on everything that a client can make big."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Settings:
    """token: what every request but `/ping` carries as a bearer. node_token: what supervisors say in their hello and at
    `/internal/join`. blob_dir: where payloads of jobs are kept. Bytes, counts and ms are what their names say.
    """

    token: str
    node_token: str
    blob_dir: Path
    user: str = "admin"
    """Who the bearer of `token` is."""

    spec_bytes: int = 8 * MIB
    """One pod or app."""
    job_json_bytes: int = 8 * MIB
    """JSON is parsed in one go, while nobody else is served; large jobs come as msgpack."""
    job_columns_bytes: int = 512 * MIB
    blob_bytes: int = 1024 * MIB
    blobs_total_bytes: int = 8192 * MIB
    """All blobs together; the least recently used go first."""
    other_bytes: int = 64 * KIB
    """Any other body."""
    rows_per_job: int = 5_000_000

    streams: int = 256
    """Event streams, followed logs and bulk outputs at one time."""
    waits: int = 4096
    """Blocking reads at one time."""
    wait_ms: int = 60_000
    """The longest that one blocking read blocks; clients ask again."""
    steady_ms: int = 1_000
    """Who waits for a service learns that an instance without checks runs once it has run for so long."""
    ping_ms: int = 15_000
    """How often an idle event stream says so."""
    queued_events: int = 2_000
    """Events that a subscriber may lag behind before it gets a gap."""
    node_answer_ms: int = 30_000
    """How long a supervisor may be silent in the middle of an answer."""
    stream_buffer_bytes: int = 8 * MIB
    """What a supervisor may send ahead of a slow reader before its stream is ended."""
    frame_bytes: int = 16 * MIB
    """One frame of a supervisor's."""
