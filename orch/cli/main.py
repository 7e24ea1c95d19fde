"""The entry: builds the application, runs it, and turns every outcome into an exit code.

Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 denied, 5 conflict, 6 unplaceable, 7 timeout (8 is kept for `plan`).
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, NoReturn

import cyclopts

from orch import __version__
from orch.cli import cluster, look, simulate, work
from orch.model.errors import OrchError

_INTERRUPTED = 130

HELP = """One cluster for pods, services and batch work, on a laptop or on a thousand machines.

For example:
  orch up                                    start a cluster on this machine
  orch submit -n 100 -- 'echo $ORCH_INDEX'   run a command a hundred times
  orch run web.yaml                          keep a service running
  orch ps                                    what runs, and what waits
  orch why /demo/web                         why is it waiting?
  orch down                                  stop everything, keep the journal

Data goes to stdout, messages to stderr; `-o json` for programs.
Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 denied, 5 conflict, 6 unplaceable, 7 timeout.
"""


def build() -> cyclopts.App:
    """The application with all its commands."""
    app = cyclopts.App(
        name="orch", help=HELP, help_format="plaintext", version=__version__, version_flags=["--version"],
        print_error=False, exit_on_error=False, suppress_keyboard_interrupt=False,
    )  # fmt: skip
    titles = (
        ("Cluster", cluster.COMMANDS),
        ("Work", work.COMMANDS),
        ("Look", [*look.COMMANDS, completion(app)]),
        ("Plan", simulate.COMMANDS),
    )
    for order, (title, commands) in enumerate(titles):
        group = cyclopts.Group(title, sort_key=order)
        for command in commands:
            app.command(command, group=group)
    options = cyclopts.Group("Options", sort_key=len(titles))
    app["--help"].group = app["--version"].group = (options,)
    return app


def completion(app: cyclopts.App) -> Any:
    """The `completion` command of this application."""

    def completion(shell: str = "bash") -> None:
        """Print the completion script of a shell: bash, zsh or fish.

        For example: orch completion bash > ~/.local/share/bash-completion/completions/orch
        """
        if shell not in ("bash", "zsh", "fish"):
            from orch.model.errors import UsageError

            raise UsageError(f"no completion for {shell!r}; there is one for bash, zsh and fish.")
        print(app.generate_completion(shell=shell))  # type: ignore[arg-type]

    return completion


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: list[str]) -> int:
    """Run one command; returns its exit code."""
    app = build()
    try:
        result = app(argv, result_action="return_value")
        sys.stdout.flush()
        return int(result) if isinstance(result, int) else 0
    except cyclopts.CycloptsError as error:
        return _usage(argv, error)
    except OrchError as error:
        return _refused(argv, error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone: nothing more to say, and nothing to complain about.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _wants_json(argv: list[str]) -> bool:
    own = argv[: argv.index("--")] if "--" in argv else argv
    pairs = list(zip(own, [*own[1:], ""], strict=True))
    split = any(a in ("-o", "--output") and b in ("json", "jsonl") for a, b in pairs)
    return split or any(a in ("-ojson", "--output=json", "--output=jsonl") for a, _ in pairs)


def _usage(argv: list[str], error: cyclopts.CycloptsError) -> int:
    from orch.model.errors import UsageError

    command = " ".join(error.command_chain or ())
    hint = f"see `orch {command} --help`" if command else "see `orch --help`"
    return _refused(argv, UsageError(f"{str(error).strip()} ({hint})"))


def _refused(argv: list[str], error: OrchError) -> int:
    if _wants_json(argv):
        print(json.dumps(error.to_dict()), file=sys.stderr)
        return error.exit_code
    print(f"orch: {error.detail}", file=sys.stderr)
    faults = [(place.get("path", ""), text) for place in error.details for text in place.get("errors", ())]
    if len(faults) == 1 and faults[0][1] in error.detail:  # the sentence has said it
        return error.exit_code
    for path, text in faults:
        print(f"  {path}: {text}", file=sys.stderr)
    return error.exit_code
