"""Makes .venv: the packages of pyproject.toml at the versions of constraints.txt, and orch itself, compiled, in place.

Run by scripts/setup.sh with the interpreter that the environment shall have. Needs nothing but the standard library,
writes to nothing but this checkout. A stamp in .venv says what it was made of; where that is unchanged, nothing is
done, and no network is needed.

    python scripts/setup_env.py                make the environment, or bring it up to date
    python scripts/setup_env.py --check        exit 0 if it is up to date, 1 if not
    python scripts/setup_env.py --extra docs   also install an extra of pyproject.toml that is not there yet

ORCH_UNPINNED=1 ignores constraints.txt: the newest versions that pyproject.toml allows.
"""

from __future__ import annotations

import argparse
import configparser
import contextlib
import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "orch-setup.json"
UNFINISHED = VENV / "orch-setup.unfinished"
EXTRAS = ("dev", "bench")

# Of the user's pip settings these are kept, because without them nothing may be installed in a closed network. All
# others (user, target, prefix, require-virtualenv, constraint, no-binary, ...) could lead pip out of .venv, or astray.
PIP_KEPT = frozenset(
    [
        *("index-url", "extra-index-url", "no-index", "find-links", "cert", "client-cert", "proxy", "trusted-host"),
        *("keyring-provider", "timeout", "default-timeout", "retries", "cache-dir"),
    ]
)


def main() -> int:
    """Parse the command line and do it. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="say by the exit code whether all is up to date")
    parser.add_argument("--extra", help="an extra of pyproject.toml to install besides")
    args = parser.parse_args()
    if args.check:
        return 0 if is_fresh(wanted(), read_stamp()) else 1
    with one_at_a_time():
        try:
            if args.extra:
                install(requirements(args.extra))
            else:
                bring_up_to_date()
        except subprocess.CalledProcessError as error:
            print(f"orch: set-up failed: {error}", file=sys.stderr)
            return 1
    return 0


def bring_up_to_date() -> None:
    """Make what the stamp does not vouch for: the environment, then the compiled parts."""
    want, have = wanted(), read_stamp()
    if is_fresh(want, have):
        return
    env_is_made = usable(have) and all(have.get(key) == want[key] for key in ("root", "packages"))
    if not env_is_made:
        make_venv(have)
        UNFINISHED.touch()
        say(f"installing packages into .venv (Python {sys.version.split()[0]})")
        install([*build_requirements(), *requirements(), *requirements(*EXTRAS)])
        UNFINISHED.unlink()
    say("compiling")
    build(editable=not env_is_made)
    want = wanted()  # with the compiled files that are there now
    STAMP.write_text(json.dumps(want | {"base": base_interpreter(PYTHON)}, indent=1) + "\n")


def wanted() -> dict[str, object]:
    """What a finished environment's stamp says, as of the files of this moment."""
    compiled = sorted([*(ROOT / "orch").rglob("*.so"), *(ROOT / "orch" / "node").glob("stub")])
    return {
        "root": str(ROOT),
        "python": os.environ.get("PYTHON", ""),
        "packages": packages_digest(),
        "sources": digest([ROOT / "setup.py", *compiled_sources()]),
        "compiled": [str(p.relative_to(ROOT)) for p in compiled],
    }


def is_fresh(want: dict[str, object], have: dict[str, object]) -> bool:
    """Whether the stamp `have` vouches for all of `want`. An unset $PYTHON takes any interpreter."""
    keys = ("root", "packages", "sources", "compiled")
    same_python = want["python"] in ("", have.get("python"))
    return same_python and PYTHON.exists() and all(have.get(key) == want[key] for key in keys)


def usable(have: dict[str, object]) -> bool:
    """Whether .venv starts, was made in this place, finished, and by the interpreter asked for (if one was)."""
    if not PYTHON.exists() or UNFINISHED.exists() or have.get("root", str(ROOT)) != str(ROOT):
        return False
    base = base_interpreter(PYTHON)
    if base is None:
        return False
    return not os.environ.get("PYTHON") or base == base_interpreter(Path(sys.executable))


def make_venv(have: dict[str, object]) -> None:
    """Make .venv, from nothing where what is there is no use."""
    if usable(have):
        return
    if VENV.exists() or VENV.is_symlink():
        say("making .venv anew")
        if VENV.is_symlink():
            VENV.unlink()
        else:
            shutil.rmtree(VENV)
    subprocess.run([sys.executable, "-I", "-m", "venv", str(VENV)], check=True, env=clean_environ())


def base_interpreter(python: Path) -> str | None:
    """Version and place of the interpreter behind `python`, as `3.11.2 /usr/bin/python3.11`; None if it fails."""
    code = "import sys, os; print(sys.version.split()[0], os.path.realpath(sys._base_executable or sys.executable))"
    done = subprocess.run([str(python), "-I", "-c", code], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def install(packages: list[str]) -> None:
    """pip install into .venv, at the versions of constraints.txt."""
    pinned = [] if os.environ.get("ORCH_UNPINNED") else ["--constraint", "constraints.txt"]
    command = [str(PYTHON), "-I", "-m", "pip", "install", "--quiet", "--prefer-binary", *pinned, *packages]
    try:
        subprocess.run(command, check=True, cwd=ROOT, env=clean_environ() | pip_settings())
    except subprocess.CalledProcessError:
        say("pip could not install the packages (its message is above). ORCH_UNPINNED=1 tries without constraints.txt.")
        raise


def build(*, editable: bool) -> None:
    """Compile in place; with `editable`, also make orch importable in .venv and its command, .venv/bin/orch."""
    command = [str(PYTHON), "setup.py", "--quiet", "--no-user-cfg", "build_ext", "--inplace"]
    if editable:
        command = [str(PYTHON), "-I", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
        command += ["--no-build-isolation", "--editable", "."]
    with tempfile.TemporaryDirectory() as home:  # ~/.pydistutils.cfg could send the files elsewhere
        env = clean_environ() | pip_settings() | {"HOME": home}
        subprocess.run(command, check=True, cwd=ROOT, env=env)


def clean_environ() -> dict[str, str]:
    """The environment without what would lead Python or pip out of .venv."""
    gone = {"PYTHONHOME", "PYTHONPATH", "PYTHONUSERBASE", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    env = {k: v for k, v in os.environ.items() if k not in gone and not k.startswith("PIP_")}
    return env | {"PYTHONNOUSERSITE": "1"}


def pip_settings() -> dict[str, str]:
    """The kept ones of the user's pip settings, as environment variables; pip is told to read no file itself."""
    kept = {key: value for key, value in user_pip_settings().items() if key in PIP_KEPT}
    if "cache-dir" not in kept:
        kept["no-cache-dir"] = "1"  # the default cache lies in HOME, and pip shall write to .venv alone
    env = {f"PIP_{key.upper().replace('-', '_')}": value for key, value in kept.items()}
    return env | {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}


def user_pip_settings() -> dict[str, str]:
    """All of the user's pip settings, named as in pip's files (`index-url`), in pip's own order of precedence."""
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}}
    for path in pip_config_files():
        parser = configparser.RawConfigParser()
        try:
            parser.read(path)
        except (OSError, UnicodeDecodeError, configparser.Error) as error:
            say(f"passing over the pip settings in {path}: {error}")
            continue
        for section, settings in found.items():
            if parser.has_section(section):
                settings.update({k.lower().replace("_", "-").removeprefix("--"): v for k, v in parser.items(section)})
    environ = {k[4:].lower().replace("_", "-"): v for k, v in os.environ.items() if k.startswith("PIP_") and v}
    return found["global"] | found["install"] | environ


def pip_config_files() -> list[Path]:
    """The files that pip would read, the weightiest last."""
    named = os.environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    home = Path(os.path.expanduser("~"))
    shared = [d for d in os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":") if d]
    own = os.environ.get("XDG_CONFIG_HOME") or str(home / ".config")
    files = [*(Path(d) / "pip" / "pip.conf" for d in reversed(shared)), Path("/etc/pip.conf")]
    files += [home / ".pip" / "pip.conf", Path(own) / "pip" / "pip.conf"]
    return files + ([Path(named)] if named else [])


@functools.cache
def project() -> dict[str, Any]:
    """pyproject.toml, parsed."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def build_requirements() -> list[str]:
    """What the build needs, installed first of all, so that building needs no network of its own."""
    return list(project()["build-system"]["requires"])


def requirements(*extras: str) -> list[str]:
    """The requirements of the extras, or of the package itself where none is named."""
    metadata = project()["project"]
    if not extras:
        return list(metadata["dependencies"])
    return [line for extra in extras for line in metadata["optional-dependencies"][extra]]


def compiled_sources() -> list[Path]:
    """Every file that a compiled part is made of. The .c files that Cython writes are not among them."""
    suffixes = {".pyx", ".pxd", ".pxi", ".h"}
    found = [p for p in (ROOT / "orch").rglob("*") if p.suffix in suffixes]
    return sorted([*found, ROOT / "orch" / "node" / "stub.c"])


def packages_digest() -> str:
    """A digest of what decides the packages in .venv. The settings of the lint tools do not."""
    parts = {key: project().get(key) for key in ("build-system", "project")}
    parts["setuptools"] = project().get("tool", {}).get("setuptools")
    text = json.dumps([parts, os.environ.get("ORCH_UNPINNED", "")], sort_keys=True)
    return digest([ROOT / "constraints.txt"], text)


def digest(files: list[Path], text: str = "") -> str:
    """A digest of names and contents, and of `text`; an absent file counts as an empty one."""
    total = hashlib.sha256(text.encode())
    for path in files:
        content = path.read_bytes() if path.exists() else b""
        total.update(f"{path.relative_to(ROOT)}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


def read_stamp() -> dict[str, object]:
    """What the last set-up wrote; empty where there was none."""
    try:
        return dict(json.loads(STAMP.read_text()))
    except (OSError, ValueError):
        return {}


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait until no other set-up works in this checkout. The lock is on the folder: nothing is left behind."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up of this checkout")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def say(text: str) -> None:
    """A word to the person who waits."""
    print(f"orch: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
