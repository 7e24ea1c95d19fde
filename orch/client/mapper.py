"""`cluster.map`: a Python function over many inputs, as a job. `python -m orch.client.mapper` runs one chunk in its
pod.

The payload, one file for all pods: a magic word, the number of chunks n, n + 3 offsets (int64, little-endian), and what
they delimit: the caller's `sys.path` as JSON, the pickled function, and each chunk of items, pickled. A pod reads
its own chunk (ORCH_INDEX) from the file that ORCH_PAYLOAD names, and leaves the file `result` in its sandbox.

Pickles are read by the user's own processes only: the pods, and the caller.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from orch.model.errors import OrchError

MAGIC = b"ORCHMAP1"
RESULT = "result"
_HEAD = struct.Struct("<8sq")


class RemoteTraceback(Exception):  # noqa: N818  it is shown as the cause of the user's own exception
    """The traceback of an exception in a pod: the cause of the exception that `map` raises."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class MapError(OrchError):
    """A pod of a `map` ended without a result (killed, out of memory, no Python there)."""

    kind = "map"
    title = "A pod of the map failed"


def pack(function: Callable[[Any], Any], chunks: Sequence[Sequence[Any]]) -> bytes:
    """The payload of a map. Raises what pickling raises."""
    import cloudpickle

    paths = [os.path.abspath(entry) if entry else os.getcwd() for entry in sys.path]
    parts = [json.dumps(paths).encode(), cloudpickle.dumps(function)]
    parts += [cloudpickle.dumps(list(chunk)) for chunk in chunks]
    offsets = [_HEAD.size + 8 * (len(parts) + 1)]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    head = _HEAD.pack(MAGIC, len(chunks)) + struct.pack(f"<{len(offsets)}q", *offsets)
    return b"".join([head, *parts])


def read_chunk(file: io.BufferedIOBase, index: int) -> tuple[Callable[[Any], Any], list[Any]]:
    """The function and the items of one chunk; makes the caller's modules importable first."""
    magic, count = _HEAD.unpack(file.read(_HEAD.size))
    assert magic == MAGIC, "ORCH_PAYLOAD is not the payload of a map"
    assert 0 <= index < count, f"ORCH_INDEX {index} of {count} chunks"
    offsets = struct.unpack(f"<{count + 3}q", file.read(8 * (count + 3)))

    def part(at: int) -> bytes:
        file.seek(offsets[at])
        return file.read(offsets[at + 1] - offsets[at])

    sys.path.extend(entry for entry in json.loads(part(0)) if entry not in sys.path)
    return pickle.loads(part(1)), pickle.loads(part(2 + index))


def run_chunk(function: Callable[[Any], Any], items: Sequence[Any]) -> tuple[dict[str, Any], bool]:
    """`({"values": [...]}, True)`, or `({"error", "traceback", "at"}, False)` of the first item that raised."""
    values = []
    for at, item in enumerate(items):
        try:
            values.append(function(item))
        except Exception as error:  # noqa: BLE001  it is raised again in the caller's process
            return _failure(error, at), False
    return {"values": values}, True


def encode_result(result: dict[str, Any]) -> tuple[bytes, bool]:
    """The bytes of a result, and whether they are it: where its values can't be pickled, they tell that."""
    import cloudpickle

    try:
        return cloudpickle.dumps(result), True
    except Exception as error:  # noqa: BLE001  pickling runs the values' own code
        return pickle.dumps(_failure(error, -1)), False


def values_of(data: bytes) -> list[Any]:
    """The values of a chunk. Raises the exception that the function raised, its cause the remote traceback."""
    result = pickle.loads(data)
    if "values" in result:
        values: list[Any] = result["values"]
        return values
    try:
        error = pickle.loads(result["error"])
        assert isinstance(error, BaseException)
    except Exception:  # noqa: BLE001  a class that can't be rebuilt here; its text can be shown
        error = RuntimeError(result["traceback"].strip().rpartition("\n")[2])
    raise error from RemoteTraceback(result["traceback"])


def _failure(error: Exception, at: int) -> dict[str, Any]:
    import cloudpickle

    text = "".join(traceback.format_exception(error))
    try:
        pickled = cloudpickle.dumps(error)
        pickle.loads(pickled)
    except Exception:  # noqa: BLE001  exceptions with required arguments often can't be rebuilt
        pickled = pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return {"error": pickled, "traceback": text, "at": at}


def main() -> int:
    """Run this pod's chunk; exit code 1 where the function raised."""
    with open(os.environ["ORCH_PAYLOAD"], "rb") as file:
        function, items = read_chunk(file, int(os.environ["ORCH_INDEX"]))
    result, ok = run_chunk(function, items)
    data, whole = encode_result(result)
    partial = f".{RESULT}.{os.getpid()}"
    with open(partial, "wb") as file:
        file.write(data)
    os.replace(partial, RESULT)
    return 0 if ok and whole else 1


if __name__ == "__main__":
    # The functions of the module that runs as __main__ here are the caller's by another name: import the real one.
    from orch.client import mapper

    sys.exit(mapper.main())
