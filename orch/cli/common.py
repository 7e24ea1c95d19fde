"""What every command that talks to a cluster takes, and how it finds that cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from orch.cli.output import Format

if TYPE_CHECKING:
    from orch.client import Cluster

Output = Annotated[Format, Parameter(name=["--output", "-o"], help="table, json, yaml, jsonl or name")]


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Options of every command that talks to a cluster."""

    output: Output = "table"
    address: Annotated[str | None, Parameter(help="The cluster's URL [env ORCH_ADDRESS]")] = None
    token_file: Annotated[str | None, Parameter(help="The file with the token [env ORCH_TOKEN_FILE]")] = None

    def connect(self) -> Cluster:
        """The cluster that these options, the environment, or the data folder name."""
        from orch.client import connect

        return connect(address=self.address, token_file=self.token_file)


DEFAULT = Common()
