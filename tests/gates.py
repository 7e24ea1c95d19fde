"""The gates of a whole run: which skips are allowed, and that the coverage of the pure rooms is judged last.

ORCH_REQUIRE=apt says that everything a Debian machine can install is here. Then a test that is skipped, and is not
listed in tests/allowed_skips.txt, fails: a check that silently stopped running is worse than a red one.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

COVERAGE_TEST = "tests/quality/test_coverage.py"
WHEN = ("always", "not-root")


@dataclasses.dataclass(frozen=True)
class AllowedSkip:
    """One line of tests/allowed_skips.txt: a glob over node ids, when it counts, and why the skip is right."""

    glob: str
    when: str
    reason: str

    def allows(self, node_id: str, *, root: bool) -> bool:
        """Whether this line allows the skip of `node_id`, for root or for an ordinary user."""
        return (self.when == "always" or not root) and fnmatch.fnmatchcase(node_id, self.glob)


def read_allowed_skips(path: Path) -> list[AllowedSkip]:
    """The lines of `path`: `glob when reason`. No file means no allowed skip. Raises UsageError for a bad line."""
    lines = path.read_text().splitlines() if path.exists() else []
    allowed = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split(maxsplit=2)
        if len(words) < 3 or words[1] not in WHEN:
            raise pytest.UsageError(f"{path}:{number}: expected `glob {'|'.join(WHEN)} reason`, found {line!r}")
        allowed.append(AllowedSkip(*words))
    return allowed


def skips_are_judged() -> bool:
    """Whether this run must not skip anything that is not listed."""
    return "apt" in os.environ.get("ORCH_REQUIRE", "").split(",")


def pytest_configure(config: pytest.Config) -> None:
    """Read the list at once, so that a bad line is told before the tests run."""
    allowed = read_allowed_skips(config.rootpath / "tests" / "allowed_skips.txt")
    if skips_are_judged():
        config.pluginmanager.register(SkipGate(allowed, root=os.geteuid() == 0), "orch-skip-gate")


class SkipGate:
    """Turns a skip that is not allowed into a failure, in the test or in the collection of its file."""

    def __init__(self, allowed: list[AllowedSkip], *, root: bool) -> None:
        self.allowed = allowed
        self.root = root

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Iterator[None]:
        """A test's own skip."""
        return self._judged((yield))

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Iterator[None]:
        """A skip of a whole file."""
        return self._judged((yield))

    def _judged(self, report):  # type: ignore[no-untyped-def]  # two kinds of report, alike in what is used here
        if not report.skipped or hasattr(report, "wasxfail"):
            return report
        if any(line.allows(report.nodeid, root=self.root) for line in self.allowed):
            return report
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = (
            f"{report.nodeid} was skipped ({why}), and tests/allowed_skips.txt does not list it (ORCH_REQUIRE=apt).\n"
            "Install what it misses (apt-packages.txt, pyproject.toml), or list it there with the reason."
        )
        return report


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The coverage is judged when all else has run, and only where it is measured (`make test`)."""
    judges = [item for item in items if item.nodeid.startswith(COVERAGE_TEST)]
    rest = [item for item in items if not item.nodeid.startswith(COVERAGE_TEST)]
    if config.pluginmanager.hasplugin("_cov"):
        items[:] = rest + judges
    elif judges:
        items[:] = rest
        config.hook.pytest_deselected(items=judges)
