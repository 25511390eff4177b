"""Writes ``proxy/vestibule/catalogue/known.json``: the third parties that nobody has reviewed by hand.

Two npm packages say who is who: ``third-party-web`` (hosts and categories) and ``tarteaucitronjs`` (cookies, links to
policies). What ``catalogue/services/`` says goes before: whoever has a host, an id or a name in there is left out here
whole, so that nothing generated ever adds to what was reviewed. The same packages always give the same bytes.

Usage: ``python -m tools.catalogue [THIRD_PARTY_WEB.tgz TARTEAUCITRONJS.tgz]`` (without files npm is asked for them)
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from publicsuffixlist import PublicSuffixList

from vestibule import catalogue
from vestibule.core.consent import State
from vestibule.core.services import PURPOSES, Service
from vestibule.core.trackers import Rules

TARGET = Path(catalogue.__file__).with_name("known.json")


def words(text: str) -> list[str]:
    return text.split()


@dataclass(frozen=True, slots=True)
class Package:
    """An npm package of one version. sha512: of its archive, in Base64, as lock files give it."""

    name: str
    version: str
    sha512: str


SOURCES = (
    Package(
        "third-party-web",
        "0.30.0",
        "p+PfyL5U0ediGzvwPzMSdD9MnC8rHW6nWJJVLIQvqN7RsSqfaZ+7n4c9GILqH36EYR0eXB9CzAeCRnKFr/9uJg==",
    ),
    Package(
        "tarteaucitronjs",
        "1.34.0",
        "PEzKEjOLC06zCWSZB1RuQkSlzbDYXSKohv0XD7BMjgfE/M+LhiWLTdNAj47VW9xcVsuQCSvLpR/gqkripHaU6g==",
    ),
)

CATEGORIES: Mapping[str, str] = {
    "ad": "advertising",
    "analytics": "analytics",
    "cdn": "cdn",
    "consent-provider": "consent",
    "content": "embeds",
    "customer-success": "chat",
    "hosting": "hosting",
    "marketing": "marketing",
    "other": "other",
    "social": "social",
    "tag-manager": "tag-manager",
    "utility": "utility",
    "video": "video",
}
"""Category of third-party-web → ours."""

TYPES: Mapping[str, str] = {
    "ads": "advertising",
    "analytic": "analytics",
    "api": "utility",
    "comment": "social",
    "other": "other",
    "social": "social",
    "support": "chat",
    "video": "video",
}
"""Type of tarteaucitronjs → our category. Its type ``google`` names consents of Google's, not services."""

CORRECTIONS: Mapping[str, str] = {
    **dict.fromkeys(
        ["edge-web-fonts", "extensis-webink", "fontdeck", "icomoon"],
        "fonts",
    ),
    **dict.fromkeys(
        ["leaflet", "living-map-company", "maptive", "onyourmap", "woosmap"],
        "maps",
    ),
    **dict.fromkeys(["flowplayer", "webvideocore"], "video"),
    **dict.fromkeys(["firepush", "roost", "trustev", "v12-retail-finance", "yo"], "marketing"),
    **dict.fromkeys(["conviva", "siteimprove"], "analytics"),
    **dict.fromkeys(
        words(
            "301-digital-media accuen-media-omnicom-media-group adledge advolution clicktripz cpex demand-media "
            "experian forensiq fraudlogix freewheel-tv iq-mobile nrelate-void optimise-media-group pixalate "
            "prebid-org proper-media revcontent runner samba-tv sekindo selectmedia-international white-ops yoyo "
            "zergnet"
        ),
        "advertising",
    ),
}
"""Where a source's category is too mild or too wide for what a service does, by our id."""

RENTED = frozenset(
    words(
        "amazonaws.com b-cdn.net bulkstorage.ca cachefly.net cdn-net.com cdn77.org dropboxusercontent.com "
        "edgecastcdn.net edgecastdns.net fastly.net footprint.net gccdn.net hwcdn.net insnw.net kxcdn.com "
        "leasewebcdn.com llnwd.net lswcdn.net netdna-cdn.com netdna-ssl.com netlify.com "
        "netlifyusercontent.com nexcesscdn.net objectstore.eu rackcdn.com rackspacecloud.com "
        "secure.footprint.net uicdn.com uicdn.net visualstudio.com windows.net wordpress.com wpengine.com"
    )
)
"""Domains under which anybody can rent a name, and which no public suffix list has."""

NOBODY = frozenset({"akamai", "custom", "get", "iframe", "test", "unknown", "web-content"})
"""Entries that stand for no service, or for one that everybody rents."""

ORDINARY = frozenset(
    words(
        "__cfduid awsalb awsalbcors cart consent country csrftoken currency exchange_uid incap_ses language "
        "locale logglytrackingsession optanonconsent player presence session session_id sessionid token "
        "usersync visid_incap visitor visitor_id visitor_info1_live"
    )
)
"""Cookies whose names say nothing of who sets them, in lower case."""

SHORTEST_COOKIE = 5
COOKIE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z:-]+")
HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")
_SUFFIXES = PublicSuffixList()


@dataclass(slots=True)
class Entry:
    """A service as the sources describe it."""

    name: str
    category: str
    hosts: dict[str, None] = field(default_factory=dict)
    provider: str = ""
    policy: str = ""
    cookies: set[str] = field(default_factory=set)

    @property
    def id(self) -> str:
        return kebab(self.name)


def kebab(name: str) -> str:
    """An id from a name: ASCII letters and digits, hyphens between words."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower().replace("&", " and ")
    return "-".join(re.findall(r"[a-z0-9]+", plain.replace("'", "")))


# Reading the sources


def entities(text: str) -> Iterator[Entry]:
    """Read ``dist/entities.json`` of third-party-web."""
    for each in json.loads(text):
        name = html.unescape(each["name"]).strip()
        provider = html.unescape(each.get("company", "")).strip()
        hosts = dict.fromkeys(each["domains"])
        yield Entry(name, CATEGORIES[each["category"]], hosts, provider=provider)


_BLOCK = re.compile(r"^tarteaucitron\.services(?:\.\w+|\[[^\]]+\])\s*=\s*\{$", re.MULTILINE)
_LITERAL = re.compile(r"'([^'\\\n]*)'|\"([^\"\\\n]*)\"")
_LOADED = re.compile(r"['\"](?:https?:)?//([a-z0-9.-]+\.[a-z]{2,})(?=[/'\"?:])")


def vendors(text: str) -> Iterator[Entry]:
    """Read ``tarteaucitron.services.js`` of tarteaucitronjs: literals only, nothing is run."""
    starts = [match.end() for match in _BLOCK.finditer(text)]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        block = re.sub(r"^\s*//.*$", "", text[start:end], flags=re.MULTILINE)
        type_ = _value(block, "type")
        if type_ not in TYPES:
            continue
        uri = _value(block, "uri")
        entry = Entry(re.sub(r"\s*\(.*", "", _value(block, "name")).strip(), TYPES[type_])
        entry.policy = uri if re.fullmatch(r"https://[a-z0-9.-]+(/\S*)?", uri) else ""
        code = block.replace(uri, "")
        entry.hosts = dict.fromkeys(found[1] for found in _LOADED.finditer(code))
        listed = re.search(r"['\"]cookies['\"]\s*:\s*\[(.*?)\]", block, re.DOTALL)
        if listed is not None:
            # What is put together with an identifier of the site's begins as written; the rest is anything.
            entry.cookies = {
                (one or other) + ("*" if re.match(r"\s*\+", listed[1][literal.end() :]) else "")
                for literal in _LITERAL.finditer(listed[1])
                for one, other in [literal.groups(default="")]
            }
        yield entry


def _value(block: str, key: str) -> str:
    found = re.search(rf"['\"]{key}['\"]\s*:\s*(?:'([^']*)'|\"([^\"]*)\")", block)
    return (found[1] or found[2] or "").strip() if found else ""


# Putting them together


def build(known: Iterable[Entry], more: Iterable[Entry], reviewed: Iterable[Service]) -> dict[str, dict[str, Any]]:
    """Return the blocks of ``known.json`` by id.

    known: entries with hosts and categories. more: entries that add cookies and links, or are new. reviewed: services
    that go before all of them.
    """
    reviewed = tuple(reviewed)
    rules = Rules(
        reviewed, states={}, unknown=State.BLOCK, first_party=(), registrable=lambda host: _SUFFIXES.privatesuffix(host)
    )
    taken = {service.id for service in reviewed} | {kebab(service.name) for service in reviewed}
    below = {path.partition("/")[0] for service in reviewed for path in service.paths}
    entries: dict[str, Entry] = {}
    owners: dict[str, str] = {}
    for entry in known:
        if entry.id in NOBODY or entry.id in taken or _reviewed(entry.hosts, rules, below):
            continue
        entry.hosts = {host: None for host in entry.hosts if _nameable(host) and host not in owners}
        if entry.hosts:
            own = _into(entries, entry)
            owners |= dict.fromkeys(entry.hosts, own.id)
    for entry in more:
        if entry.id in NOBODY or entry.id in taken or _reviewed(entry.hosts, rules, below):
            continue
        owned = [owner for host in entry.hosts for owner in [_owner(host, owners)] if owner]
        if owned:
            _merge(entries[owned[0]], entry)
            continue
        entry.hosts = {host: None for host in entry.hosts if _nameable(host) and host not in owners}
        if entry.hosts or entry.id in entries:
            own = _into(entries, entry)
            owners |= dict.fromkeys(entry.hosts, own.id)
    cookies = Counter(name.lower() for entry in entries.values() for name in entry.cookies)
    return {
        id_: _block(entries[id_], [name for name in entries[id_].cookies if cookies[name.lower()] == 1], rules)
        for id_ in sorted(entries)
    }


def _reviewed(hosts: Iterable[str], rules: Rules, below: set[str]) -> bool:
    names = [host.removeprefix("*.") for host in hosts]
    return any(rules.decide(name, "/").service is not None or name in below for name in names)


def _nameable(host: str) -> bool:
    """Whether a host is a name that someone registered, and not one under which anybody can rent."""
    name = host.removeprefix("*.")
    if not HOST.fullmatch(name) or name.rpartition(".")[2].isdigit() or name in RENTED:
        return False
    return _SUFFIXES.privatesuffix(name) is not None


def _owner(host: str, owners: Mapping[str, str]) -> str | None:
    name = host
    while "." in name:
        for pattern in (name, f"*.{name}"):
            if pattern in owners:
                return owners[pattern]
        name = name.partition(".")[2]
    return None


def _into(entries: dict[str, Entry], entry: Entry) -> Entry:
    if entry.id in entries:
        _merge(entries[entry.id], entry)
    else:
        entries[entry.id] = entry
    entry.category = CORRECTIONS.get(entry.id, entry.category)
    return entries[entry.id]


def _merge(entry: Entry, other: Entry) -> None:
    """Take what another source says; of two purposes the stricter one."""
    entry.hosts |= other.hosts
    entry.provider = entry.provider or other.provider
    entry.policy = entry.policy or other.policy
    entry.cookies |= other.cookies
    if _strictness(other.category) > _strictness(entry.category):
        entry.category = other.category


def _strictness(category: str) -> int:
    return PURPOSES.index(catalogue.PURPOSES[category])


def _block(entry: Entry, cookies: Iterable[str], rules: Rules) -> dict[str, Any]:
    block: dict[str, Any] = {"name": entry.name, "category": entry.category}
    if entry.provider and entry.provider != entry.name:
        block["provider"] = entry.provider
    if entry.policy:
        block["policy"] = entry.policy
    if entry.hosts:
        block["hosts"] = _shortest(entry.hosts)
    names = sorted(filter(None, (_cookie(name, rules) for name in cookies)))
    if names:
        # What is embedded sets its cookies for itself, what is built in sets them for the site.
        embedded = entry.category in ("embeds", "social", "video")
        block["third_party_cookies" if embedded else "cookies"] = names
    return block


def _shortest(hosts: Iterable[str]) -> list[str]:
    """Hosts without those that a wildcard among them covers, in their order."""
    wide = {host.removeprefix("*.") for host in hosts if host.startswith("*.")}
    return [
        host
        for host in hosts
        if host.startswith("*.") or not any(host == name or host.endswith(f".{name}") for name in wide)
    ]


def _cookie(name: str, rules: Rules) -> str | None:
    """A pattern, or None for names that are anybody's or known already."""
    pattern = f"{name}*" if name.endswith("_") else name
    bare = pattern.rstrip("*_")
    if len(bare) < SHORTEST_COOKIE or bare.lower() in ORDINARY or not COOKIE.fullmatch(pattern):
        return None
    return None if rules.cookie(name.rstrip("*")) is not None else pattern


def dumped(blocks: Mapping[str, Mapping[str, Any]]) -> str:
    """The file: JSON, a service a line."""
    lines = (f"{json.dumps(id_)}:{json.dumps(block, separators=(',', ':'))}" for id_, block in blocks.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


# Getting them


def fetched(package: Package, folder: Path) -> Path:
    """Let npm fetch a package from the registry that it is set up for; returns the archive."""
    command = ["npm", "pack", f"{package.name}@{package.version}", "--silent", "--pack-destination", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=120, cwd=folder)
    except FileNotFoundError:
        raise SystemExit("catalogue: there is no npm on the PATH; give the two archives instead") from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"catalogue: npm could not fetch {package.name}: {error.stderr.strip()[:400]}") from None
    return folder / f"{package.name}-{package.version}.tgz"


def member(archive: Path, package: Package, name: str) -> str:
    """A file of a package's archive, whose bytes must be those that were pinned."""
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != package.sha512:
        raise SystemExit(f"catalogue: {archive} is not {package.name} {package.version} as it was pinned")
    with tarfile.open(archive, "r:gz") as packed:
        file = packed.extractfile(f"package/{name}")
        assert file is not None
        return file.read().decode()


def made(archives: tuple[Path, Path]) -> str:
    """The text of ``known.json`` from the archives of ``SOURCES``."""
    web, cookies = SOURCES
    known = entities(member(archives[0], web, "dist/entities.json"))
    more = vendors(member(archives[1], cookies, "tarteaucitron.services.js"))
    return dumped(build(known, more, catalogue.reviewed().services))


def main() -> int:
    if len(sys.argv) not in (1, 3):
        sys.stderr.write((__doc__ or "").strip().rsplit("\n\n", 1)[-1] + "\n")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        given = [Path(name) for name in sys.argv[1:]] or [fetched(package, Path(folder)) for package in SOURCES]
        text = made((given[0], given[1]))
    TARGET.write_text(text, encoding="utf-8")
    sys.stderr.write(f"{TARGET}: {text.count(chr(10)) - 2:,} services, {len(text):,} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
