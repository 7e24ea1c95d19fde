"""`ray start` as a child of the supervisor: every port explicit, a temp dir and a token of its own."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orch.cluster.ports import free_block
from orch.runtime.ray_env import node_resource, ray_environment

OBJECT_STORE_BYTES = 100_000_000
WORKER_PORTS = 40
"""A port for each worker process and driver of one Ray node: master, postmen, gateway, and some to spare."""

_SERVERS = 6
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "SSL_CERT_FILE")
_RAY_AUTH = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


def base_environment(cluster: str, node: str, role: str, foreign_ray: bool = False) -> dict[str, str]:
    """The environment of a process of ours: what the system needs, none of the caller's RAY_* or PYTHON*, our marks.

    foreign_ray: it meets somebody else's Ray, so what lets the caller in there is passed on.
    """
    names = (*_KEPT, *_RAY_AUTH) if foreign_ray else _KEPT
    kept = {name: os.environ[name] for name in names if name in os.environ}
    root = str(Path(__file__).resolve().parents[2])
    return {
        **kept,
        "PYTHONPATH": root,
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": os.environ.get("PYTHONDONTWRITEBYTECODE", ""),
        "ORCH_CLUSTER": cluster,
        "ORCH_NODE": node,
        "ORCH_ROLE": role,
    }


@dataclass(frozen=True, slots=True)
class RayNode:
    """How to run Ray on this machine. address: "" for a head, else `host:port` of the head to join."""

    cluster: str
    node: str
    node_ip: str
    temp_dir: Path
    token_file: Path
    address: str = ""
    head_port: int = 0
    object_store_bytes: int = OBJECT_STORE_BYTES

    def command(self) -> list[str]:
        """The command line, with ports that are free now."""
        first = free_block(_SERVERS + WORKER_PORTS)
        manager, objects, runtime_env, agent_grpc, agent_http, metrics = range(first, first + _SERVERS)
        role = ["--head", f"--port={self.head_port}", "--include-dashboard=false", "--no-monitor"]
        return [
            sys.executable, "-m", "ray.scripts.scripts", "start", "--block",
            *([f"--address={self.address}"] if self.address else role),
            f"--node-ip-address={self.node_ip}",
            f"--temp-dir={self.temp_dir}",
            f"--object-store-memory={self.object_store_bytes}",
            "--num-cpus=0",
            "--num-gpus=0",
            f"--resources={json.dumps({node_resource(self.node): 1000})}",
            f"--node-manager-port={manager}",
            f"--object-manager-port={objects}",
            f"--runtime-env-agent-port={runtime_env}",
            f"--dashboard-agent-grpc-port={agent_grpc}",
            f"--dashboard-agent-listen-port={agent_http}",
            f"--metrics-export-port={metrics}",
            f"--min-worker-port={first + _SERVERS}",
            f"--max-worker-port={first + _SERVERS + WORKER_PORTS - 1}",
            "--include-log-monitor=false",
            "--disable-usage-stats",
            "--log-style=record",
            "--log-color=false",
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        """For `ray start` and all that it starts, the actors included."""
        return {
            **base_environment(self.cluster, self.node, "ray"),
            **ray_environment(self.token_file),
            # A dead raylet is noticed after 0.6 s. The timeout is long, because a busy machine is not a dead one.
            "RAY_health_check_initial_delay_ms": "0",
            "RAY_health_check_period_ms": "200",
            "RAY_health_check_timeout_ms": "3000",
            "RAY_health_check_failure_threshold": "3",
            # With no CPUs of its own Ray would start one worker process after the other.
            "RAY_worker_maximum_startup_concurrency": "4",
            # Ray makes its workers nice by 15: the master would wait for every pod.
            "RAY_worker_niceness": "0",
            "RAY_enable_metrics_collection": "0",
            "RAY_task_events_report_interval_ms": "0",
            "RAY_event_stats": "0",
            "MALLOC_ARENA_MAX": "2",
            "MALLOC_TRIM_THRESHOLD_": "262144",
        }


def adopt_ray_environment(config: dict[str, Any], token_file: Path) -> None:
    """Before Ray is loaded: what lets this process into the cluster's own Ray. Somebody else's has been passed on."""
    if not config.get("foreign_ray"):
        os.environ.update(ray_environment(token_file))
