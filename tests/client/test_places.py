"""Where the cluster is: arguments before the environment before the data folder, and what to do where it is not."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

import orch
from orch.client import transport
from orch.client.places import Place, find, normal_url


@pytest.fixture
def token(tmp_path: Path) -> str:
    file = tmp_path / "token"
    file.write_text("abc\n")
    return str(file)


def test_arguments_come_first(token: str) -> None:
    environ = {"ORCH_ADDRESS": "http://other:1", "ORCH_TOKEN_FILE": "/nowhere", "ORCH_DATA_DIR": "/nowhere"}
    assert find("127.0.0.1:7480/", token, environ) == Place("http://127.0.0.1:7480", "abc")


def test_then_the_environment(token: str, tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text(json.dumps({"url": "http://x:1", "token_file": "/nowhere"}))
    environ = {"ORCH_ADDRESS": "https://c.example:7480", "ORCH_TOKEN_FILE": token, "ORCH_DATA_DIR": str(tmp_path)}
    assert find(environ=environ) == Place("https://c.example:7480", "abc")


def test_then_the_data_folder(token: str, tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text(json.dumps({"url": "http://127.0.0.1:5", "token_file": token}))
    assert find(environ={"ORCH_DATA_DIR": str(tmp_path)}) == Place("http://127.0.0.1:5", "abc")


def test_nothing_says_where(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text("half written {")
    with pytest.raises(orch.UnavailableError, match="orch up"):
        find(environ={"ORCH_DATA_DIR": str(tmp_path)})


def test_a_token_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(orch.UnauthenticatedError, match="ORCH_TOKEN_FILE"):
        find("http://127.0.0.1:5", environ={"ORCH_DATA_DIR": str(tmp_path)})
    with pytest.raises(orch.UnauthenticatedError, match="can't be read"):
        find("http://127.0.0.1:5", tmp_path / "none", {})
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(orch.UnauthenticatedError, match="is empty"):
        find("http://127.0.0.1:5", tmp_path / "empty", {})
    for content in (b"secret\nsecret", b"two secret words", b"\xff\xfe", "s\u00e9cret".encode()):
        (tmp_path / "odd").write_bytes(content)
        with pytest.raises(orch.UnauthenticatedError, match="is no token file") as found:
            find("http://127.0.0.1:5", tmp_path / "odd", {})
        assert "secret" not in str(found.value), "what a file holds by mistake is not shown"


@pytest.mark.parametrize("text", ["ftp://x", "http://", "://", "", "host:port", "host:99999", "http://[::1"])
def test_an_address_that_is_none(text: str) -> None:
    with pytest.raises(orch.UsageError, match="no address"):
        normal_url(text)


@pytest.mark.parametrize(
    ("url", "here"),
    [("http://127.0.0.1:1", True), ("http://localhost:1", True), ("http://[::1]:1", True), ("http://10.0.0.1", False)],
)
def test_proxies_have_no_say_on_this_machine(url: str, here: bool) -> None:
    assert Place(url, "t").is_loopback is here
    assert transport._options(Place(url, "t"))["trust_env"] is not here


@pytest.fixture
def silent() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_nobody_listens_there(token: str, silent: str) -> None:
    with (
        orch.connect(silent, token) as cluster,
        pytest.raises(orch.UnavailableError, match="start one with `orch up`"),
    ):
        cluster.info()


def test_a_cluster_of_here_that_does_not_answer_may_be_coming_back(
    token: str, silent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cluster.json").write_text(json.dumps({"url": silent, "token_file": token}))
    monkeypatch.setenv("ORCH_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("ORCH_ADDRESS", raising=False)
    with orch.connect() as cluster, pytest.raises(orch.UnavailableError, match="comes back by itself"):
        cluster.info()
