"""Whether the host ports of an instance are free: asked just before its start, and lost races are seen the same way."""

from __future__ import annotations

import socket
from collections.abc import Iterable

_PROTOCOLS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def taken(ports: Iterable[tuple[int, tuple[str, ...]]]) -> list[int]:
    """Those of (port, protocols) that another process of this machine holds, on any address."""
    return [port for port, protocols in ports if port and not all(_is_free(port, name) for name in protocols)]


def _is_free(port: int, protocol: str) -> bool:
    kind = _PROTOCOLS.get(protocol, socket.SOCK_STREAM)
    for family, host in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):
        try:
            with socket.socket(family, kind) as probe:
                if kind == socket.SOCK_STREAM:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((host, port))
        except OSError as error:
            if error.errno in _NO_FAMILY:
                continue
            return False
    return True


_NO_FAMILY = (97, 99)
"""EAFNOSUPPORT, EADDRNOTAVAIL: this machine has no IPv6."""
