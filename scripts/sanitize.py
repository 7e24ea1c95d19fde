"""The compiled core under AddressSanitizer and UndefinedBehaviorSanitizer: `make sanitize`.

Builds the extensions once more, in a copy of the sources in a temporary folder, with both sanitizers and with Cython's
bounds checks, and runs the tests of the kernel and of the engine against that build. Exit code: pytest's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLAGS = "-g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined"
COPIED = ("orch", "tests", "setup.py", "pyproject.toml", "README.md", "LICENSE", "bench")
TESTS = ("tests/placement",)


def main() -> int:
    """Build, run, and clean up. Returns pytest's exit code, or 1 where the build fails."""
    with tempfile.TemporaryDirectory(prefix="orch-sanitize-") as folder:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            made = {f"{module.stem}.c" for module in source.rglob("*.pyx")}  # to be made anew, with bounds checks
            ignored = shutil.ignore_patterns("*.so", "__pycache__", *made)
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=ignored)
            else:
                shutil.copy(source, copy / name)
        environ = {**os.environ, "CFLAGS": FLAGS, "LDFLAGS": FLAGS, "ORCH_BOUNDS": "1", "PYTHONPATH": str(copy)}
        build = [sys.executable, "setup.py", "-q", "build_ext", "-i"]
        if subprocess.run(build, cwd=copy, env=environ, check=False).returncode:
            return 1
        # -s: what a sanitizer says before it ends the process would be lost in what pytest has captured.
        command = [sys.executable, "-m", "pytest", "-q", "-s", *(sys.argv[1:] or TESTS)]
        return subprocess.run(command, cwd=copy, env={**environ, **runtime()}, check=False).returncode


def runtime() -> dict[str, str]:
    """The sanitizers' libraries come first: Python itself is not built with them, and what it leaks is its own."""
    libraries = (found("libasan.so"), found("libubsan.so"))
    return {
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "PYTHONMALLOC": "malloc",
    }


def found(library: str) -> str:
    """Where gcc keeps a library."""
    done = subprocess.run(["gcc", f"-print-file-name={library}"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
