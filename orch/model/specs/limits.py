"""The bounds of a spec. Every list, string and number of a body has one, so that no body can be a burden to others."""

from __future__ import annotations

BODY_BYTES = 8 * 1024 * 1024
"""The text of one body, YAML or JSON."""
YAML_CHARS = 1024 * 1024
"""YAML takes a hundred times longer to read than JSON."""
YAML_NODES = 100_000
"""Values in one YAML text, aliases counted as often as they are used."""
DEPTH = 64
"""Levels of lists and objects within each other."""

ENTRIES = 10_000
"""Of any list or object, known or not; most have a lower bound of their own."""

PATH_CHARS = 1024
SEGMENTS = 32
NAME_CHARS = 63
COMMAND_CHARS = 128 * 1024 - 1
"""Linux takes no single argument longer than this."""
ARGUMENTS = ENTRIES
TEXT_CHARS = 1024
"""URIs, file paths, images."""
VALUE_CHARS = 128 * 1024 - 1
"""The value of a label or an environment variable."""
ENV_NAME_CHARS = 254
KEY_CHARS = 1024
PAIRS = 4096
"""Labels, environment variables, secrets or options in one place."""
CONTAINERS = 64
ENDPOINTS = 64
"""Endpoints of one container, and ports of one app."""
VOLUMES = 256
ARTIFACTS = 256
CHECKS = 16
CONSTRAINTS = 64
COUNTING = 15
"""Constraints and required affinity of a pod that count where pods are: the kernel has room for these, and one for
ports."""
PREFERRED = 15
"""Preferences, and affinity that is not required."""
AFFINITY = 32
ITEMS = 256
"""Any other list."""

CPUS = 1_000_000
MIB = 1_073_741_824
"""One pebibyte, in MiB."""
GPUS = 100_000
INSTANCES = 1_000_000
SECONDS = 31_536_000
"""A year: intervals, delays and timeouts."""
PORT = 65_535
COLUMN = 2_147_483_647
"""A pod's sum in any resource column: they are int32."""

GANG = 1_000_000
PRIORITY = 1_000_000
ATTEMPTS = 1_000
