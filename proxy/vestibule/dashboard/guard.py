"""What every answer of the admin app carries, and which posts it believes.

No page of this listener may be framed, sniffed, cached or made to load or send anything elsewhere; a post counts only
from a page of this listener itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Robots-Tag": "noindex, nofollow",
}
SHARED = "/shared/"
LARGEST_FORM = 16 * 1024


class ProtectiveHeaders:
    """Adds ``HEADERS`` to every answer, and ``Cache-Control: no-store`` where the answer says nothing of caching.

    embed: origins that may frame what is below ``SHARED``, where nobody is signed in and nothing can be changed."""

    def __init__(self, app: ASGIApp, embed: Sequence[str] = ()) -> None:
        self._app = app
        self._framed = {**HEADERS, "Content-Security-Policy": framed_by(embed)} if embed else HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        shared = scope["path"].startswith(SHARED)
        added = self._framed if shared else HEADERS

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in added.items():
                    if name != "X-Frame-Options" or added is HEADERS:
                        headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, guarded_send)


class KnownNetworks:
    """Answers only the networks it is told. What is asked is who connects: behind a proxy that is the proxy."""

    def __init__(self, app: ASGIApp, networks: Sequence[str]) -> None:
        self._app = app
        self._networks = tuple(ip_network(network) for network in networks)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._knows(scope.get("client")):
            await PlainTextResponse("The dashboard does not answer for this network.", 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _knows(self, client: tuple[str, int] | None) -> bool:
        try:
            address = ip_address(client[0] if client else "")
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)


class KnownHosts:
    """Answers only for addresses, localhost and the names it is told.

    A page of anyone's may give its own name our address for a moment (DNS rebinding) and then speak to us as its own
    server; it cannot give us a name that we know.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(("localhost", *hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._knows(Headers(scope=scope).get("host", "")):
            answer = PlainTextResponse("The dashboard does not answer for that host: see dashboard.hosts.", 421)
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _knows(self, authority: str) -> bool:
        host = authority.lower().rpartition(":")[0] if authority.rpartition(":")[2].isdigit() else authority.lower()
        if host in self._hosts:
            return True
        try:
            ip_address(host.strip("[]"))
        except ValueError:
            return False
        return True


def framed_by(origins: Sequence[str]) -> str:
    """Return the policy of pages that some origins may frame."""
    return POLICY.replace("frame-ancestors 'none'", f"frame-ancestors {' '.join(origins)}")


def own_post(headers: Headers) -> bool:
    """Whether a state-changing request comes from a page of this listener: by ``Sec-Fetch-Site``, and where a browser
    does not send that, by an ``Origin`` with the host that was asked."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    if origin is None:
        return False
    return urlsplit(origin).netloc == headers.get("host", "") != ""


def from_here(request: Request) -> bool:
    """Whether a request comes from this machine and was not passed on by a proxy, whose visitors may be anyone."""
    passed_on = any(name in request.headers for name in ("forwarded", "x-forwarded-for", "x-real-ip", "via"))
    return request.client is not None and request.client.host in ("127.0.0.1", "::1") and not passed_on


async def bounded_body(request: Request, limit: int = LARGEST_FORM) -> bytes | None:
    """Return the body, or None where it is longer than ``limit`` bytes."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            return None
    return body


async def read_form(request: Request) -> Mapping[str, str] | None:
    """Return the fields of a form, the last of each name; None where the body is too long."""
    body = await bounded_body(request)
    if body is None:
        return None
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=20))
    except ValueError:
        return {}


def local_path(path: str) -> str:
    """Return ``path`` where it is one of this listener, else ``/``: no scheme, no host, nothing a browser reads so."""
    if not path.startswith("/") or path.startswith("//") or len(path) > 4096:
        return "/"
    if any(char == "\\" or ord(char) < 0x20 or ord(char) == 0x7F for char in path):
        return "/"
    return path
