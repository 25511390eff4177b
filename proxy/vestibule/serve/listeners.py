"""The sockets that the supervisor holds for its children: bound here, or handed over by systemd."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import MutableMapping
from pathlib import Path

from vestibule.serve.plan import ServeError, words

BACKLOG = 2048
"""Connections that wait in the kernel for a worker; beyond it the kernel lets clients try again."""

UNIX = "unix:"

_FIRST_SYSTEMD_FD = 3


def bind(setting: str, file: str, variable: str, listen: str) -> list[socket.socket]:
    """Listening sockets for ``HOST:PORT``, one for each address that HOST has, or the one for ``unix:/PATH``.

    setting, file, variable: what the operator would change, for the message. Raises ServeError, one line.
    """
    change = f"change {setting} in {file} or {variable}"
    if listen.startswith(UNIX):
        try:
            return [_unix_listener(Path(listen.removeprefix(UNIX)))]
        except OSError as error:
            raise ServeError(f"{setting}: {listen} {_bind_words(error)}; {change}") from None
    host, _, port = listen.rpartition(":")
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


def _unix_listener(path: Path) -> socket.socket:
    """Listen at ``path`` in place of a socket that a dead process left there. Whoever may enter the folder may connect:
    front servers run as users of their own."""
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _clear(path: Path) -> None:
    """Remove a socket that nobody listens at. Raises OSError where somebody does, or where it is something else."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "is there already and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
        else:
            raise OSError(errno.EADDRINUSE, "")


def socket_file(listen: str) -> tuple[int, int] | None:
    """Which file a listener ``unix:/PATH`` is in its folder; None for other listeners, and where there is none."""
    if not listen.startswith(UNIX):
        return None
    with contextlib.suppress(OSError):
        found = Path(listen.removeprefix(UNIX)).lstat()
        return found.st_dev, found.st_ino
    return None


def leave(listen: str, file: tuple[int, int] | None) -> None:
    """Remove the file of a listener ``unix:/PATH``, if it is still the one that ``socket_file`` told of."""
    if file is not None and socket_file(listen) == file:
        with contextlib.suppress(OSError):
            Path(listen.removeprefix(UNIX)).unlink()


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
    if error.errno == errno.EEXIST:
        return words(error)
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
        for_admin = index < len(names) and names[index] == "dashboard"
        families = (socket.AF_INET, socket.AF_INET6) if for_admin else (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
        if listener.family not in families or listener.type != socket.SOCK_STREAM:
            wanted = "HOST:PORT" if for_admin else "HOST:PORT or ListenStream=/PATH"
            raise ServeError(f"listen: descriptor {descriptor} of LISTEN_FDS won't do; use ListenStream={wanted}")
        os.set_inheritable(descriptor, False)
        listener.setblocking(False)
        (admin if for_admin else public).append(listener)
    return public, admin
