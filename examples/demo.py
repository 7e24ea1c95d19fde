"""The main job on an embedded cluster: a service with a sidecar, a digest of every module, 10,000 pods, a map.

    make demo            (or: .venv/bin/python examples/demo.py)

Each part checks its own result. The last line is `DEMO {json}`; the exit code is 0 if all of it was right.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orch

PODS = 10_000
BARE = 1_000
COMMAND = "echo $ORCH_INDEX; exit $((ORCH_INDEX % 7))"


def main() -> int:
    """Run all parts; 0 if each was right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=PODS, help="pods of the batch (default 10000)")
    pods = parser.parse_args().pods
    begun = time.monotonic()
    result: dict[str, Any] = {}
    say("starting an embedded cluster with two agents")
    with orch.local(agents=2) as cluster:
        result |= service(cluster)
        result |= digests(cluster)
        result |= batch(cluster, pods)
        mapped(cluster)
        say(f"and what cannot be placed: {cluster.submit('/demo/impossible', cmd='true', cpus=1000).why()}")
    result["bare_per_s"] = bare_per_s()
    result["seconds"] = round(time.monotonic() - begun, 1)
    print("DEMO " + json.dumps(result))
    right = result["service_ok"] and result["recovered"] and not result["mismatches"] and result["finished"] == pods
    return 0 if right and result["digests"] else 1


def service(cluster: orch.Cluster) -> dict[str, Any]:
    """A web server and a sidecar that share a folder; one of the servers is killed and comes back."""
    web = orch.Pod(
        "/demo/web",
        containers=[
            orch.Container(
                "app", cmd="exec python3 -m http.server $ENDPOINT_HTTP --bind 127.0.0.1", cpus=0.1, mem=64,
                endpoints=[orch.Endpoint("http")], health=orch.HttpCheck(endpoint="http", path="/", interval=1),
            ),
            orch.Container(
                "sidecar", cmd="while :; do date > $MESOS_SANDBOX/shared/now; sleep 1; done", cpus=0.1, mem=32
            ),
        ],
    )  # fmt: skip
    running = cluster.run(web, instances=3)
    running.wait(timeout=60)
    ports = [port_of(instance) for instance in running.instances()]
    answered = sum(fetch(port, "/shared/now") is not None for port in ports)
    say(f"service /demo/web: {answered} of {len(ports)} instances answered with what their sidecar wrote")
    victim = running.instances()[0]
    kill_server(victim["name"])
    back = wait_for(lambda: recovered(running, victim["id"]), 30)
    say(f"killed the server of {victim['name']}: " + ("another took its place" if back else "nothing came back"))
    running.stop()
    return {"service_ok": answered == len(ports) == 3, "recovered": bool(back)}


def digests(cluster: orch.Cluster) -> dict[str, Any]:
    """One pod per file of the standard library, each printing the file's SHA-256; compared with hashlib's."""
    files = sorted(str(path) for path in Path(sysconfig.get_path("stdlib")).rglob("*.py") if wanted(path))
    job = cluster.submit(
        "/demo/digest", cmd='sha256sum "$FILE"', each=[{"FILE": file} for file in files], cpus=0.1, mem=16
    )
    job.wait(progress=sys.stderr.isatty())
    outputs = job.outputs()
    wrong = sum(
        output.split(b" ")[0].lstrip(b"\\") != hashlib.sha256(Path(file).read_bytes()).hexdigest().encode()
        for file, output in zip(files, outputs, strict=True)
    )
    say(f"job /demo/digest: {len(files)} files digested, {wrong} differ from hashlib's")
    return {"digests": len(files), "mismatches": wrong}


def batch(cluster: orch.Cluster, pods: int) -> dict[str, Any]:
    """Many short pods, each with its own process, sandbox, log and exit code."""
    begun = time.monotonic()
    job = cluster.submit("/demo/batch", cmd=COMMAND, count=pods, cpus=0.05, mem=8)
    job.wait(progress=sys.stderr.isatty())
    took = time.monotonic() - begun
    right = sum(int(code) == index % 7 for index, code in enumerate(job.exit_codes))
    say(f"job /demo/batch: {pods} pods in {took:.1f} s, {right} exit codes as they should be")
    return {"finished": right, "pods_per_s": round(pods / took)}


def mapped(cluster: orch.Cluster) -> None:
    """A Python function over many inputs, as a job."""
    words = ["pod", "agent", "offer", "instance"] * 100
    lengths = cluster.map(len, words, chunk=100)
    assert lengths == [len(word) for word in words], "map gave other results than the built-in"
    say(f"map: {len(lengths)} calls of len() in {len(words) // 100} pods")


def bare_per_s() -> int:
    """What spawning the same command without any cluster reaches here, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        for index in range(BARE):
            with open(f"{folder}/{index}", "wb") as out:
                subprocess.run(["/bin/sh", "-c", COMMAND], env={"ORCH_INDEX": str(index)}, stdout=out, check=False)
        return round(BARE / (time.monotonic() - begun))


def wanted(path: Path) -> bool:
    """Files of the library itself, readable, not what was installed into it."""
    return "site-packages" not in path.parts and "dist-packages" not in path.parts and os.access(path, os.R_OK)


def port_of(instance: dict[str, Any]) -> int:
    """The port that the endpoint `http` of an instance got."""
    return next(int(endpoint["port"]) for endpoint in instance["endpoints"] if endpoint["name"] == "http")


def fetch(port: int, path: str) -> bytes | None:
    """The body at a path of a local server, or None if it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return bytes(answer.read())
    except OSError:
        return None


def kill_server(instance: str) -> None:
    """SIGKILL the web server of an instance, from outside, as an accident would."""
    marker = f"ORCH_INSTANCE={instance}\0".encode()
    for pid, command, environment in processes():
        if b"http.server" in command and marker in environment:
            os.kill(pid, signal.SIGKILL)


def processes() -> Iterator[tuple[int, bytes, bytes]]:
    """(pid, command line, environment) of every process that we may look at."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            yield int(folder.name), (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes() + b"\0"
        except OSError:
            continue


def recovered(running: orch.Service, gone: int) -> bool:
    """Whether three instances answer, and the killed one is not among them."""
    instances = running.instances()
    alive = [one for one in instances if one["state"] == "RUNNING" and one["id"] != gone and one.get("endpoints")]
    return len(alive) == 3 and all(fetch(port_of(one), "/") is not None for one in alive)


def wait_for(condition: Any, seconds: float) -> bool:
    """Whether the condition came true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False


def say(text: str) -> None:
    """One line of progress."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
