"""Builds the compiled parts: every `.pyx` under orch/, and the stub, a program. All else is in pyproject.toml."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
PROGRAMS = ("orch/node/stub",)
"""Executables, each of one `.c` file beside it: part of the package's data."""

# A build for the checkers (scripts/sanitize.py): every index is looked at, whatever the file's own header says.
CHECKED = {"boundscheck": True, "initializedcheck": True} if os.environ.get("ORCH_BOUNDS") else {}


def extensions() -> list[Extension]:
    """One extension per `.pyx`, rebuilt when a header, a `.pxd` or a `.pxi` in its folder changes.

    Paths are relative to this file, as setuptools asks. `_x.pyx` becomes `_x.c` beside it.
    """
    found = []
    for source in sorted((ROOT / "orch").rglob("*.pyx")):
        relative = source.relative_to(ROOT)
        beside = sorted(p for p in source.parent.iterdir() if p.suffix in {".h", ".pxd", ".pxi"})
        found.append(
            Extension(
                name=".".join(relative.with_suffix("").parts),
                sources=[str(relative)],
                depends=[str(p.relative_to(ROOT)) for p in beside],
                include_dirs=[str(relative.parent)],
                extra_compile_args=["-O3", "-std=gnu11"],
            )
        )
    return found


class BuildAll(build_ext):
    """The extensions, then the programs, in the same place."""

    def run(self) -> None:
        """Build both; a program is linked anew every time, as that takes no time."""
        super().run()
        for program in () if CHECKED else PROGRAMS:
            flags = ["-O2", "-std=gnu11"]
            objects = self.compiler.compile([f"{program}.c"], output_dir=self.build_temp, extra_postargs=flags)
            self.compiler.link_executable(objects, Path(program).name, output_dir=self.program_dir(program))

    def copy_file(self, infile: str, outfile: str, *options: Any, **more: Any) -> Any:
        """As a new file: a running cluster has the old one mapped, and would crash if it were written over."""
        (ROOT / outfile).unlink(missing_ok=True)
        return super().copy_file(infile, outfile, *options, **more)

    def program_dir(self, program: str) -> str:
        """The folder that a program goes to: beside its source with --inplace and in an editable install."""
        base = ROOT if self.inplace or self.editable_mode else Path(self.build_lib)
        return str((base / program).parent)


setup(
    ext_modules=cythonize(extensions(), language_level=3, compiler_directives=CHECKED),
    cmdclass={"build_ext": BuildAll},
)
