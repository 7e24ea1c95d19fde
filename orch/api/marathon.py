"""What we know, in Marathon's words: pods with their status, apps with their counts and tasks."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from orch.model.times import timestamp

_READ_ONLY = ("version", "versionInfo")

_POD_STATES = {
    "SCHEDULED": "PENDING",
    "STAGING": "STAGING",
    "STARTING": "STAGING",
    "RUNNING": "STABLE",
    "KILLING": "TERMINAL",
    "UNREACHABLE": "DEGRADED",
}


def deployment_id(path: str, index: int) -> str:
    """A name for the change that the journal has at an index."""
    return str(uuid.UUID(bytes=hashlib.sha256(f"{path}@{index}".encode()).digest()[:16]))


def writable(spec: dict[str, Any]) -> dict[str, Any]:
    """A spec without what only the cluster says."""
    return {name: value for name, value in spec.items() if name not in _READ_ONLY}


def pod(spec: dict[str, Any], instances: int) -> dict[str, Any]:
    """A pod's spec as GET shows it. instances: how many are wanted now, which a scaling may have changed."""
    return {**spec, "scaling": {**spec.get("scaling", {"kind": "fixed"}), "instances": instances}}


_OURS = ("preferences", "affinity")
"""Fields that Marathon has not, and strict clients refuse: they are shown where they say something."""


def shown(spec: dict[str, Any]) -> dict[str, Any]:
    """An app's spec as clients of Marathon read it."""
    return {name: value for name, value in spec.items() if value or name not in _OURS}


def versioned(spec: dict[str, Any], service: dict[str, Any]) -> dict[str, Any]:
    """An app's spec with the time of its version, and how many instances are wanted now."""
    info = {
        "lastScalingAt": timestamp(service["changed_ms"]),
        "lastConfigChangeAt": timestamp(service["version"]),
    }
    return {
        **shown(spec),
        "instances": service["instances"],
        "version": timestamp(service["version"]),
        "versionInfo": info,
    }


def app(spec: dict[str, Any], service: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """An app's spec with the counts of its instances."""
    states = [row["state"] for row in rows]
    healthy = [row.get("healthy") for row in rows if row["state"] == "RUNNING"]
    return {
        **versioned(spec, service),
        "tasksStaged": sum(state in ("STAGING", "STARTING") for state in states),
        "tasksRunning": states.count("RUNNING"),
        "tasksHealthy": sum(found is True for found in healthy),
        "tasksUnhealthy": sum(found is False for found in healthy),
        "deployments": [],
    }


def task(row: dict[str, Any], service_ports: list[int] | None = None) -> dict[str, Any]:
    """One instance of an app. service_ports: the app's, one for each of its ports."""
    endpoints = row.get("endpoints") or []
    healthy = row.get("healthy")
    found = {
        "id": row["name"],
        "appId": row["path"],
        "slaveId": row["agent"],
        "host": row["host"],
        "state": task_state(row["state"]),
        "stagedAt": timestamp(row.get("launched_ms") or row.get("since_ms")),
        "startedAt": timestamp(row["started_ms"]) if row.get("started_ms") else None,
        "version": timestamp(row.get("version")),
        "ports": [endpoint["port"] for endpoint in endpoints],
        "servicePorts": service_ports or [],
        "ipAddresses": [{"ipAddress": row["host"], "protocol": "IPv4"}] if row.get("host") else [],
        "localVolumes": [],
        "role": "*",
    }
    if healthy is not None:
        found["healthCheckResults"] = [health(row, healthy)]
    return found


def health(row: dict[str, Any], healthy: bool) -> dict[str, Any]:
    """What is known of an instance's health. The agent counts its failures itself: here it is one, or none."""
    return {
        "alive": healthy,
        "taskId": row["name"],
        "instanceId": row["name"],
        "consecutiveFailures": 0 if healthy else 1,
        "firstSuccess": None,
        "lastSuccess": None,
        "lastFailure": None,
        "lastFailureCause": None if healthy else row.get("note"),
    }


def task_state(state: str) -> str:
    """An instance's state in Mesos's words: `TASK_RUNNING`."""
    return f"TASK_{state}"


def failure(row: dict[str, Any]) -> dict[str, Any]:
    """An instance that ended badly, as `lastTaskFailure`."""
    return {
        "appId": row["path"],
        "host": row["host"] or "",
        "message": row["note"] or "",
        "state": task_state(row["state"]),
        "taskId": row["name"],
        "instanceId": row["name"],
        "slaveId": row["agent"],
        "timestamp": timestamp(row["ended_ms"]),
        "version": timestamp(row["version"]),
    }


def pod_status(
    spec: dict[str, Any], service: dict[str, Any], rows: list[dict[str, Any]], ended: list[dict[str, Any]]
) -> dict[str, Any]:
    """A pod's status: STABLE when all wanted instances are ready, TERMINAL while it is being deleted, else DEGRADED."""
    whole = service["ready"] >= service["instances"]
    state = "TERMINAL" if service["deleting"] else "STABLE" if whole else "DEGRADED"
    since = timestamp(service["since_ms"])
    containers = {container["name"]: container for container in spec.get("containers", ())}
    found = {
        "id": service["id"],
        "spec": spec,
        "status": state,
        "statusSince": since,
        "instances": [_instance(row, containers) for row in rows],
        "terminationHistory": [_termination(row) for row in ended],
        "lastUpdated": since,
        "lastChanged": since,
    }
    if service["note"]:
        found["message"] = service["note"]
    return found


def _instance(row: dict[str, Any], specs: dict[str, Any]) -> dict[str, Any]:
    since = timestamp(row["since_ms"])
    state = _POD_STATES.get(row["state"], "TERMINAL")
    if state == "STABLE" and row.get("healthy") is False:
        state = "DEGRADED"
    found: dict[str, Any] = {
        "id": row["name"],
        "status": state,
        "statusSince": since,
        "conditions": _conditions(row.get("healthy"), since),
        "resources": _resources([spec.get("resources", {}) for spec in specs.values()]),
        "networks": [],
        "containers": [_container(row, one, specs.get(one["name"], {})) for one in row.get("containers") or ()],
        "specReference": f"/v2/pods{row['path']}::versions/{timestamp(row.get('version'))}",
        "localVolumes": [],
        "lastUpdated": since,
        "lastChanged": since,
    }
    if row["agent"] is not None:
        found |= {"agentHostname": row["host"], "agentId": row["agent"]}
    if row["note"]:
        found["message"] = row["note"]
    return found


def _container(row: dict[str, Any], told: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    since = timestamp(row["since_ms"])
    endpoints = [one for one in row.get("endpoints") or () if one.get("container") == told["name"]]
    found: dict[str, Any] = {
        "name": told["name"],
        "status": f"TASK_{told.get('state', row['state'])}",
        "statusSince": since,
        "containerId": f"{row['name']}.{told['name']}",
        "conditions": _conditions(told.get("healthy"), since),
        "endpoints": [
            {"name": one["name"], "allocatedHostPort": one["port"], "healthy": told.get("healthy")} for one in endpoints
        ],
        "resources": spec.get("resources", {}),
        "lastUpdated": since,
        "lastChanged": since,
    }
    if told.get("exit_code") is not None:
        found["termination"] = {"exitCode": told["exit_code"], "message": told.get("message") or ""}
    return found


def _termination(row: dict[str, Any]) -> dict[str, Any]:
    ended = timestamp(row["ended_ms"])
    containers = [
        {
            "containerId": f"{row['name']}.{one['name']}",
            "name": one["name"],
            "lastKnownState": f"TASK_{one.get('state', row['state'])}",
            "termination": {"exitCode": one.get("exit_code"), "message": one.get("message") or ""},
        }
        for one in row.get("containers") or ()
    ]
    return {
        "instanceId": row["name"],
        "startedAt": timestamp(row.get("started_ms")),
        "terminatedAt": ended,
        "message": row["note"] or "",
        "containers": containers,
    }


def _conditions(healthy: bool | None, since: str) -> list[dict[str, Any]]:
    if healthy is None:
        return []
    value = "true" if healthy else "false"
    return [{"name": "healthy", "value": value, "lastUpdated": since, "lastChanged": since}]


def _resources(parts: list[dict[str, Any]]) -> dict[str, float]:
    names = ("cpus", "mem", "disk", "gpus")
    return {name: round(sum(float(part.get(name, 0)) for part in parts), 3) for name in names}
