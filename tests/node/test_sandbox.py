"""Sandboxes of service instances, their volumes, and the inputs in them."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from orch.model.specs.template import ArtifactTemplate, ContainerTemplate, MountTemplate, Template, VolumeTemplate
from orch.node import artifacts, sandbox
from orch.node.artifacts import ArtifactError
from orch.node.sandbox import SandboxError
from orch.node.users import User

OWN = User(-1, -1, (), "own")


def pod(*containers: ContainerTemplate, volumes: tuple[VolumeTemplate, ...] = ()) -> Template:
    """A pod."""
    return Template("/p", "pod", containers, volumes=volumes)


def test_containers_share_one_folder_and_their_volumes(tmp_path: Path) -> None:
    volumes = (VolumeTemplate("data"), VolumeTemplate("host", "host", str(tmp_path)))
    first = ContainerTemplate("a", mounts=(MountTemplate("data", "in/deep"), MountTemplate("host", "machine")))
    second = ContainerTemplate("b", mounts=(MountTemplate("data", "data"),))
    place = tmp_path / "0" / "5-1"
    (tmp_path / "there").write_text("here")
    for _ in range(2):
        sandbox.make(place, pod(first, second, volumes=volumes), {"a": OWN, "b": OWN})
    (place / "a" / "shared" / "x").write_text("1")
    (place / "a" / "in" / "deep" / "y").write_text("2")
    assert (place / "b" / "shared" / "x").read_text() == "1"
    assert (place / "b" / "data" / "y").read_text() == "2"
    assert (place / "a" / "machine" / "there").read_text() == "here"
    assert place.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("path", ["/abs", "../up", "a/../../b"])
def test_a_volume_outside_the_sandbox_is_refused(tmp_path: Path, path: str) -> None:
    container = ContainerTemplate("a", mounts=(MountTemplate("data", path),))
    with pytest.raises(SandboxError, match="inside its sandbox"):
        sandbox.make(tmp_path / "0" / "5-1", pod(container, volumes=(VolumeTemplate("data"),)), {"a": OWN})


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_each_container_owns_its_folder_and_users_of_one_pod_share_the_shared_one(tmp_path: Path) -> None:
    users = {"a": User(200_001, 200_001, (), "x"), "b": User(200_002, 200_002, (), "y")}
    place = tmp_path / "0" / "5-1"
    sandbox.make(place, pod(ContainerTemplate("a"), ContainerTemplate("b")), users)
    assert [(place / name).stat().st_uid for name in "ab"] == [200_001, 200_002]
    assert (place / "shared").stat().st_mode & 0o7777 == 0o1777


def fetch(folder: Path, uri: str, **options: object) -> None:
    """Fetch one input."""
    asyncio.run(artifacts.fetch([ArtifactTemplate(uri, **options)], folder, OWN))  # type: ignore[arg-type]


def test_archives_are_unpacked_and_programs_made_executable(tmp_path: Path) -> None:
    source, folder = tmp_path / "source", tmp_path / "box"
    source.mkdir()
    folder.mkdir()
    with tarfile.open(source / "a.tar.gz", "w:gz") as bundle:
        info = tarfile.TarInfo("in/tar")
        info.size = 3
        bundle.addfile(info, io.BytesIO(b"tar"))
    with zipfile.ZipFile(source / "b.zip", "w") as archive:
        archive.writestr("in/zip", "zip")
    (source / "run").write_text("#!/bin/sh\n")
    fetch(folder, f"file://{source}/a.tar.gz")
    fetch(folder, f"file://{source}/b.zip", dest="sub/b.zip")
    fetch(folder, f"file://{source}/run", executable=True)
    fetch(folder, f"file://{source}/b.zip", extract=False, dest="kept.zip")
    assert (folder / "in" / "tar").read_text() == "tar"
    assert (folder / "sub" / "in" / "zip").read_text() == "zip"
    assert os.access(folder / "run", os.X_OK)
    assert (folder / "kept.zip").exists()


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("file:///no/such/file", "No such file"),
        ("ftp://host/file", "only http, https and file"),
        ("relative/path", "no absolute path"),
        ("http://127.0.0.1:9/x", "could not be fetched"),
        ("http://127.0.0.1:9/", "no name"),
    ],
)
def test_an_input_that_cannot_be_had_says_why(tmp_path: Path, uri: str, words: str) -> None:
    with pytest.raises(ArtifactError, match=words):
        fetch(tmp_path, uri)


@pytest.mark.parametrize("dest", ["../out", "/tmp/out", "a/../../out"])
def test_an_input_has_its_place_in_the_sandbox(tmp_path: Path, dest: str) -> None:
    (tmp_path / "box").mkdir()
    (tmp_path / "given").write_text("x")
    with pytest.raises(ArtifactError, match="no name for a file in the sandbox"):
        fetch(tmp_path / "box", f"file://{tmp_path}/given", dest=dest)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["box", "given"]


def test_an_archive_cannot_write_outside(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "evil.tar", "w") as bundle:
        info = tarfile.TarInfo("../evil")
        info.size = 1
        bundle.addfile(info, io.BytesIO(b"x"))
    (tmp_path / "box").mkdir()
    with pytest.raises(ArtifactError):
        fetch(tmp_path / "box", f"file://{tmp_path}/evil.tar")
    assert not (tmp_path / "evil").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_supervisor_s_rights_are_not_lent(tmp_path: Path) -> None:
    (tmp_path / "private").write_text("secret")
    (tmp_path / "private").chmod(0o600)
    (tmp_path / "box").mkdir()
    wanted = [ArtifactTemplate(f"file://{tmp_path}/private")]
    with pytest.raises(ArtifactError, match="may not be read by everybody"):
        asyncio.run(artifacts.fetch(wanted, tmp_path / "box", User(200_001, 200_001, (), "x")))
