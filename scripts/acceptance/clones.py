"""`make test` in a fresh clone, twice, as root and as nobody; and the second set-up, quick and without network."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from acceptance.lines import ROOT, Check, Context, Line, at_most, clean_environ, holds

CLOSING_LINE = re.compile(r"^=* ?(?P<counts>\d+ passed\b.*) in [\d.]+s.*=*$")
# A path of 150 characters with a space in it, in a folder that every user may enter.
ODD = "a folder with spaces and a long name"
PATH_LENGTH = 150
LIMIT_S = 20 * 60


def as_root(context: Context) -> Iterator[Line]:
    """In an ordinary folder, as whoever runs this (root, where uids per group are tried as well)."""
    who = pwd.getpwuid(os.geteuid()).pw_name
    with tempfile.TemporaryDirectory(prefix="orch-clone-", dir="/tmp") as folder:
        clone = fresh_clone(context, Path(folder) / "orch")
        yield from tested(context, who, clone, [], test_environ())
        yield from set_up_again(context, who, clone)


def as_nobody(context: Context) -> Iterator[Line]:
    """In a path of 150 characters with a space, with umask 077 and a HOME that cannot be written."""
    if os.geteuid() != 0:
        yield Line("test nobody", "not run", "exit 0, twice", False, "only root can become nobody: run this as root")
        return
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory(prefix="orch-clone-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        parent = Path(folder) / ODD
        clone = parent / "x".ljust(PATH_LENGTH - len(str(parent)) - 1, "x")
        fresh_clone(context, clone)
        for path in [parent, clone, *clone.rglob("*")]:
            os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
        become = ["setpriv", "--reuid=nobody", f"--regid={nobody.pw_gid}", "--clear-groups", "--"]
        become += ["sh", "-c", 'umask 077; exec "$@"', "sh"]
        environ = test_environ() | {"HOME": "/nonexistent", "USER": "nobody", "LOGNAME": "nobody"}
        yield from tested(context, "nobody", clone, become, environ)


def fresh_clone(context: Context, path: Path) -> Path:
    """A clone of the commit that is checked out."""
    done = context.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(path)], seconds=120)
    if done.code:
        raise RuntimeError(f"git clone failed: {done.tail()}")
    return path


def test_environ() -> dict[str, str]:
    """As .ci/run sets it: nothing may be skipped that is not listed, and the corpus is used where it is known."""
    environ = clean_environ() | {"ORCH_REQUIRE": "apt"}
    return environ | ({"ORCH_CORPUS": str(corpus())} if corpus().is_dir() else {})


def corpus() -> Path:
    """Where the corpus is, or would be: ORCH_CORPUS, else beside this checkout."""
    return Path(os.environ.get("ORCH_CORPUS") or ROOT.parent / "shared" / "corpus").resolve()


def tested(context: Context, who: str, clone: Path, become: list[str], environ: dict[str, str]) -> Iterator[Line]:
    """`make test` two times over in one clone."""
    for turn in ("first", "second"):
        done = context.run([*become, "make", "test"], seconds=2 * LIMIT_S, cwd=clone, env=environ)
        closing = CLOSING_LINE.match(done.last_line())
        passed = done.code == 0 and closing is not None
        figure = closing["counts"] if closing else f"exit {done.code}"
        yield holds(f"test {who} {turn}", passed, figure, "exit 0, no skip that is not allowed", done.tail(40))
        yield at_most(f"test {who} {turn} time", done.seconds, LIMIT_S, "s")
        if not passed:
            return


def set_up_again(context: Context, who: str, clone: Path) -> Iterator[Line]:
    """The second set-up; as root in a network namespace with nothing in it."""
    alone = ["unshare", "--net", "--"] if os.geteuid() == 0 and shutil.which("unshare") else []
    done = context.run([*alone, "make", "build"], seconds=120, cwd=clone, env=test_environ())
    name = f"set-up again {who}{' offline' if alone else ''}"
    yield at_most(name, done.seconds if done.code == 0 else None, 5, "s", done.tail())


CHECKS = [Check("test-root", as_root), Check("test-nobody", as_nobody)]
