"""A data dir is ours or it is not touched; secrets are for their owner; nothing is left by a purge."""

from __future__ import annotations

import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from orch.cluster.files import ClusterFiles, data_dir, read_json, runtime_dir, write_json
from orch.cluster.join_cluster import join
from orch.cluster.take_down import down
from orch.model.errors import ConflictError, OrchError, UnavailableError, UsageError


def test_the_data_dir_is_the_one_given_then_the_environments_then_homes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_DATA_DIR", str(tmp_path / "env"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_dir(tmp_path / "given") == tmp_path / "given"
    assert data_dir(None) == tmp_path / "env"
    monkeypatch.delenv("ORCH_DATA_DIR")
    assert data_dir(None) == tmp_path / ".orch"
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    assert data_dir(None).name == f"orch-data-{os.getuid()}"


def test_a_new_data_dir_gets_an_id_and_secrets_that_stay(tmp_path: Path) -> None:
    files = ClusterFiles(tmp_path / "data")
    previous = os.umask(0o077)
    try:
        cluster = files.prepare()
    finally:
        os.umask(previous)
    assert len(cluster) == 16
    token = files.token.read_text()
    assert files.prepare() == cluster
    assert files.token.read_text() == token
    for secret in (files.token, files.node_token, files.ray_token):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(files.data.stat().st_mode) == 0o711


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    files = ClusterFiles(tmp_path)
    with pytest.raises(UsageError, match=r"holds other files \(thesis.tex\)"):
        files.prepare()
    with pytest.raises(ConflictError, match=r"no \.orch marker"):
        files.purge()
    with pytest.raises(ConflictError, match="nothing was touched"):
        down(data_dir=tmp_path, purge=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_data_dir_that_cannot_be_made_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OrchError, match=r"cannot be used: .*--data-dir or ORCH_DATA_DIR"):
        ClusterFiles(tmp_path / "file" / "data").prepare()


def test_purge_leaves_nothing_and_follows_no_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    files = ClusterFiles(tmp_path / "data")
    files.prepare()
    locked = files.data / "node" / "sandbox"
    locked.mkdir(parents=True)
    (locked / "out").write_text("x")
    (locked / "link").symlink_to(outside)
    locked.chmod(0o500)
    files.purge()
    assert not files.data.exists()
    assert (outside / "kept").exists()
    files.purge()


def test_down_where_nothing_is_does_nothing(tmp_path: Path) -> None:
    nothing = {"cluster": None, "member": False, "was_running": False, "purged": False}
    assert down(data_dir=tmp_path / "nowhere") == nothing
    files = ClusterFiles(tmp_path / "data")
    cluster = files.prepare()
    assert down(data_dir=files.data) == {**nothing, "cluster": cluster}
    assert files.cluster_id() == cluster
    assert down(data_dir=files.data, purge=True)["purged"]
    assert not files.data.exists()


def test_down_knows_a_machine_that_joined(tmp_path: Path) -> None:
    files = ClusterFiles(tmp_path / "data")
    cluster = files.prepare()
    write_json(files.config_json, {"head": False, "node": "n1", "cluster": cluster})
    found = {"cluster": cluster, "member": True, "was_running": False, "purged": True}
    assert down(data_dir=files.data, purge=True) == found
    assert not files.data.exists()


@pytest.mark.parametrize("address", ["nonsense.invalid", "ftp://10.0.0.5", "host:port", ""])
def test_joining_what_is_no_address_is_a_mistake_of_the_caller(address: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x\n")
    with pytest.raises(UsageError, match=r"such as http://"):
        join(address, token_file=tmp_path / "token", data_dir=tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_join_that_fails_leaves_no_data_dir_that_it_made(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x\n")
    (tmp_path / "mine").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    for folder in (tmp_path / "data", tmp_path / "mine"):
        with pytest.raises(UnavailableError, match="does not answer"):
            join(address, token_file=tmp_path / "token", data_dir=folder)
    assert not (tmp_path / "data").exists() and (tmp_path / "mine").exists()


def test_a_second_up_or_down_waits_for_the_first(tmp_path: Path) -> None:
    files = ClusterFiles(tmp_path / "data")
    order = []
    waiting = threading.Event()

    def second() -> None:
        waiting.set()
        with files.exclusive():
            order.append("second")

    thread = threading.Thread(target=second)
    with files.exclusive():
        thread.start()
        waiting.wait()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_half_a_json_file_counts_as_none(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 1})
    assert read_json(tmp_path / "a.json") == {"x": 1}
    (tmp_path / "a.json").write_text('{"x":')
    assert read_json(tmp_path / "a.json") == {}
    assert read_json(tmp_path / "b.json") == {}


def test_the_folder_of_all_clusters_is_never_taken_for_one_of_them() -> None:
    assert runtime_dir("0123456789").name == "01234567"
    assert runtime_dir("0123456789", "n1").name == "01234567-n1"
    with pytest.raises(AssertionError, match="no id of a cluster"):
        runtime_dir("")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 65534, 65534)
    with pytest.raises(UsageError, match=r"belongs to another user \(uid 65534\)"):
        ClusterFiles(tmp_path / "theirs").prepare()
