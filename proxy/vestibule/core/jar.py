"""What a browser makes of a cookie that a server sets (RFC 6265bis, section 5.7), and where it sends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vestibule.core.cookies import SetCookie


@dataclass(frozen=True, slots=True)
class Stored:
    """A cookie in a browser's jar. domain: in lower case, without a leading dot. ends: None with the browser.
    same_site: strict, lax, none, or empty for the browser's default."""

    name: str
    value: str
    domain: str
    host_only: bool
    path: str
    ends: int | None
    secure: bool
    http_only: bool
    same_site: str
    partitioned: bool

    def goes_to(self, host: str, path: str, *, secure: bool) -> bool:
        """Whether it is sent with a request there (RFC 6265bis, section 5.8; ``SameSite`` is not looked at)."""
        host = host.lower()
        if host != self.domain and (self.host_only or not domain_matches(host, self.domain)):
            return False
        return path_matches(path, self.path) and (secure or not self.secure)


def store(
    cookie: SetCookie, host: str, path: str, *, secure: bool, now: int, is_suffix: Callable[[str], bool]
) -> Stored | None:
    """What a browser keeps of a cookie (RFC 6265bis, section 5.7), None where it takes it for none of its business.

    host, path, secure: of the request that it came on. is_suffix: whether anybody may register names below a domain.
    A ``Domain`` without a value is ignored, as RFC 6265 (section 5.2.3) has it.
    """
    host = host.lower()
    wanted = [value for key, value in cookie.attributes if key.lower() == "domain" and value]
    domain = wanted[-1].removeprefix(".").lower() if wanted else ""
    if domain and is_suffix(domain):
        if domain != host:
            return None
        domain = ""
    if domain and not domain_matches(host, domain):
        return None
    folder = cookie.get("path") or ""
    stored = Stored(
        cookie.name,
        cookie.value,
        domain or host,
        not domain,
        folder if folder.startswith("/") else default_path(path),
        cookie.ends(now),
        cookie.get("secure") is not None,
        cookie.get("httponly") is not None,
        cookie.same_site,
        cookie.get("partitioned") is not None,
    )
    if stored.secure and not secure:
        return None
    if not stored.secure and (stored.same_site == "none" or stored.partitioned):
        return None
    return stored if _keeps_its_prefix(stored) else None


def _keeps_its_prefix(stored: Stored) -> bool:
    """RFC 6265bis, section 4.1.3: what a name promises must be so; letter case does not matter."""
    name = stored.name.lower()
    whole = stored.host_only and stored.path == "/"
    if name.startswith("__host-http-"):
        return stored.secure and stored.http_only and whole
    if name.startswith("__host-"):
        return stored.secure and whole
    if name.startswith("__http-"):
        return stored.secure and stored.http_only
    return stored.secure or not name.startswith("__secure-")


def domain_matches(host: str, domain: str) -> bool:
    """RFC 6265bis, section 5.1.3, of names in lower case; an address matches only itself."""
    if host == domain:
        return True
    return host.endswith("." + domain) and not host.rpartition(".")[2].isdigit() and ":" not in host


def path_matches(path: str, folder: str) -> bool:
    """RFC 6265bis, section 5.1.4. path: of a request, without its query."""
    path = path or "/"
    return path == folder or (path.startswith(folder) and (folder.endswith("/") or path[len(folder)] == "/"))


def default_path(path: str) -> str:
    """RFC 6265bis, section 5.1.4: the folder that a request's path lies in."""
    return path[: path.rfind("/")] or "/" if path.startswith("/") else "/"
