"""The sockets that the supervisor holds for its children: bound here, or handed over by systemd."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import MutableMapping

from vestibule.serve.plan import ServeError, words

BACKLOG = 2048
"""Connections that wait in the kernel for a worker; beyond it the kernel lets clients try again."""

_FIRST_SYSTEMD_FD = 3


def bind(setting: str, file: str, variable: str, listen: str) -> list[socket.socket]:
    """Listening sockets for ``HOST:PORT``: one for each address that HOST has.

    setting, file, variable: what the operator would change, for the message. Raises ServeError, one line.
    """
    host, _, port = listen.rpartition(":")
    change = f"change {setting} in {file} or {variable}"
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError) as error:
        raise ServeError(f"{setting}: {listen} is no address of this machine: {words(error)}; {change}") from None
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            with contextlib.suppress(_NoSuchFamilyError):
                sockets.append(_listener(family, kind, protocol, address, optional=len(found) > 1))
    except OSError as error:
        for bound in sockets:
            bound.close()
        raise ServeError(f"{setting}: {listen} {_bind_words(error)}; {change}") from None
    if not sockets:
        raise ServeError(f"{setting}: {listen} is no address of this machine; {change}")
    return sockets


class _NoSuchFamilyError(Exception):
    """A name has an address of a family (say IPv6) that this machine does not speak; its others will do."""


def _listener(family: int, kind: int, protocol: int, address: tuple[object, ...], *, optional: bool) -> socket.socket:
    try:
        listener = socket.socket(family, kind, protocol)
    except OSError:
        if optional:
            raise _NoSuchFamilyError from None
        raise
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if optional and error.errno == errno.EADDRNOTAVAIL:
            raise _NoSuchFamilyError from None
        raise
    return listener


def _bind_words(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "is taken by another program"
    if error.errno == errno.EACCES:
        return "may be bound by the administrator only (ports below 1024 are reserved)"
    if error.errno == errno.EADDRNOTAVAIL:
        return "is no address of this machine"
    return f"cannot be bound: {words(error)}"


def inherited(environ: MutableMapping[str, str]) -> tuple[list[socket.socket], list[socket.socket]]:
    """The listeners that systemd handed over (sd_listen_fds(3)): public ones, and those named ``dashboard``.

    Takes the protocol's variables out of ``environ``, for they are not meant for our children.
    """
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    count, process = environ.pop("LISTEN_FDS", ""), environ.pop("LISTEN_PID", "")
    if process != str(os.getpid()) or not count.isdigit():
        return [], []
    public: list[socket.socket] = []
    admin: list[socket.socket] = []
    for index in range(int(count)):
        descriptor = _FIRST_SYSTEMD_FD + index
        try:
            listener = socket.socket(fileno=descriptor)
        except OSError as error:
            raise ServeError(f"listen: descriptor {descriptor} of LISTEN_FDS is no socket: {words(error)}") from None
        if listener.family not in (socket.AF_INET, socket.AF_INET6) or listener.type != socket.SOCK_STREAM:
            raise ServeError(
                f"listen: descriptor {descriptor} of LISTEN_FDS is no TCP socket; use ListenStream=HOST:PORT"
            )
        os.set_inheritable(descriptor, False)
        listener.setblocking(False)
        (admin if index < len(names) and names[index] == "dashboard" else public).append(listener)
    return public, admin
