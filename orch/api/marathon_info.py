"""`/v2/info` in Marathon's fields: what a client of Marathon looks for, with what is true here."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit


def of(cluster: str, url: str, version: str) -> dict[str, Any]:
    """cluster: its id. url: where the API is.

    What Marathon configures and orch has no part for (ZooKeeper, a Mesos master of its own) is null.
    """
    parts = urlsplit(url)
    port = parts.port
    return {
        "name": "orch",
        "version": version,
        "buildref": version,
        "elected": True,
        "leader": parts.netloc or None,
        "frameworkId": cluster or None,
        "marathon_config": {
            "master": url or None,
            "hostname": parts.hostname,
            "framework_name": "orch",
            "ha": False,
            "checkpoint": True,
            "features": [],
            "mesos_role": None,
            "mesos_user": None,
            "webui_url": None,
            "maintenance_mode": True,
            "new_group_enforce_role": "off",
        },
        "zookeeper_config": {
            "zk": None, "zk_hosts": None, "zk_path": None, "zk_state": None, "zk_timeout": None,
            "zk_max_versions": None, "zk_session_timeout": None, "zk_connection_timeout": None, "zk_compression": None,
            "zk_compression_threshold": None, "zk_max_node_size": None,
        },
        "http_config": {
            "http_port": port if parts.scheme == "http" else None,
            "https_port": port if parts.scheme == "https" else None,
        },
        "event_subscriber": None,
    }  # fmt: skip
