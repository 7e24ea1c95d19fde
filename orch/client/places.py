"""Where a cluster is and which file has its token: from arguments, environment, or the data folder's `cluster.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orch.model.errors import UnauthenticatedError, UnavailableError, UsageError


@dataclass(frozen=True, slots=True)
class Place:
    """url: of the API, without a slash at its end. token: what requests carry. is_ours: the data folder names it."""

    url: str
    token: str
    is_ours: bool = field(default=False, compare=False)

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine, where no proxy has a say."""
        host = urlsplit(self.url).hostname or ""
        return host == "localhost" or host == "::1" or host.startswith("127.")


def data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The data folder: ORCH_DATA_DIR, else `~/.orch`, or where HOME is not writable one by uid under /tmp."""
    given = environ.get("ORCH_DATA_DIR")
    if given:
        return Path(os.path.abspath(os.path.expanduser(given)))
    home = Path(os.path.expanduser("~"))
    if home.is_dir() and os.access(home, os.W_OK | os.X_OK):
        return home / ".orch"
    return Path(f"/tmp/orch-data-{os.getuid()}")


def find(
    address: str | None = None,
    token_file: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Place:
    """The cluster that is meant: `address` and `token_file`, else ORCH_ADDRESS and ORCH_TOKEN_FILE, else
    `cluster.json`.

    Raises UnavailableError where nothing says where a cluster is, UnauthenticatedError where its token can't be read.
    """
    known = _known(data_dir(environ))
    given = address or environ.get("ORCH_ADDRESS")
    url = given or known.get("url")
    if not url:
        raise UnavailableError(
            f"no cluster: ORCH_ADDRESS is not set, and {data_dir(environ) / 'cluster.json'} is not there. "
            "Start one with `orch up`, or say where it is."
        )
    file = token_file or environ.get("ORCH_TOKEN_FILE") or known.get("token_file")
    return Place(normal_url(str(url)), read_token(file, str(url)), is_ours=not given)


def normal_url(text: str) -> str:
    """An address as a URL: `127.0.0.1:7480` -> `http://127.0.0.1:7480`. Raises UsageError."""
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # such as a port that is no number
        is_one = False
    if not is_one:
        raise UsageError(f"{text!r} is no address of a cluster; it is such as http://127.0.0.1:7480.")
    return url.rstrip("/")


def read_token(file: str | os.PathLike[str] | None, url: str) -> str:
    """The token in a file. Raises UnauthenticatedError with what to do."""
    if not file:
        raise UnauthenticatedError(
            f"no token for the cluster at {url}. Set ORCH_TOKEN_FILE to its token file (`orch up -o json` shows "
            "where it is)."
        )
    try:
        token = Path(file).read_text().strip()
    except OSError as error:
        raise UnauthenticatedError(
            f"the token file {os.fspath(file)} can't be read: {error.strerror}. Only its owner may; ask for a copy."
        ) from None
    except UnicodeDecodeError:
        token = "\0"
    if not token:
        raise UnauthenticatedError(f"the token file {os.fspath(file)} is empty.")
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise UnauthenticatedError(
            f"{os.fspath(file)} is no token file: that holds one word on one line. `orch up -o json` shows where it is."
        )
    return token


def _known(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "cluster.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
