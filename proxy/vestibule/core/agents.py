"""Who asks: what a user agent string and a few headers say about browser, system and device, and whether it is a bot.

The families and versions themselves come from outside (see :class:`~vestibule.core.visit.Lookups`); here they get one
name each, and here are the rules that need no list: what calls itself a bot, what is a library, what cannot be. A
header that is missing is never evidence by itself: old browsers and plain http send few of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from vestibule.core.pages import scrub

MAX_AGENT = 512
"""Characters of a user agent string that are looked at."""
UNRECORDED = "(not recorded)"
"""The user agent of a log format that has none; that is no evidence of anything."""
UNKNOWN = "(unknown)"


@dataclass(frozen=True, slots=True)
class Agent:
    """What a user agent string says. Versions are major ones, empty where unknown.

    bot: the name under which it is counted as a bot; empty for a person's browser.
    chromium: major version of the Chromium it claims, 0 for none. newest: the highest of a browser that counts its
    releases. impossible: it names a version that there never was.
    """

    browser: str
    browser_version: str = ""
    os: str = UNKNOWN
    os_version: str = ""
    device: str = UNKNOWN
    bot: str = ""
    chromium: int = 0
    newest: int = 0
    impossible: bool = False
    browser_value: str = field(init=False, repr=False, compare=False)
    os_value: str = field(init=False, repr=False, compare=False)
    """What is counted: name and version."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "browser_value", versioned(self.browser, self.browser_version))
        object.__setattr__(self, "os_value", versioned(self.os, self.os_version))


_BROWSERS = {
    "Chrome Mobile": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Chrome Mobile WebView": "Android WebView",
    "HeadlessChrome": "Headless Chrome",
    "Mobile Safari": "Safari",
    "Mobile Safari UI/WKWebView": "iOS WebView",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "Firefox (Minefield)": "Firefox",
    "Edge Mobile": "Edge",
    "IE Mobile": "IE",
    "Opera Mobile": "Opera",
    "Opera Tablet": "Opera",
    "Samsung Internet": "Samsung Internet",
    "Yandex Browser": "Yandex Browser",
    "DuckDuckGo Mobile": "DuckDuckGo",
    "Brave Mobile": "Brave",
    "QQ Browser Mobile": "QQ Browser",
    "UC Browser": "UC Browser",
    "Other": UNKNOWN,
}
_SYSTEMS = {"Mac OS X": "macOS", "Other": UNKNOWN, "Windows Phone OS": "Windows Phone", "Chromecast": "Android"}
_TV = re.compile(
    r"\b(?:smart-?tv|hbbtv|googletv|appletv|bravia|netcast|web0s|webos\.tv|viera|aquos|roku|crkey|aft[a-z]{1,4}|tv)\b",
    re.IGNORECASE,
)
_CONSOLE = re.compile(r"playstation|nintendo|xbox", re.IGNORECASE)
_WATCH = re.compile(r"\bwatch\b|watchos", re.IGNORECASE)


def browser(family: str, major: str) -> tuple[str, str]:
    """Return family and major version under the name a browser has on every device."""
    return _named(_BROWSERS.get(family, family)), _major(major)


def system(family: str, major: str, minor: str = "") -> tuple[str, str]:
    """Return an operating system's name and major version. Windows 8.1 keeps its minor one; "10" is no version of
    macOS, since all browsers have stayed at 10.15 whatever they run on (as they have at Windows 10)."""
    name = _named(_SYSTEMS.get(family, family))
    if name == "Windows":
        full = f"{major}.{minor}" if minor else major
        return name, full if full in _WINDOWS else major if major in _WINDOWS else ""
    if name == "macOS" and major == "10":
        return name, ""
    return name, _major(major)


_WINDOWS = frozenset("95,98,ME,2000,XP,Vista,7,8,8.1,10,11,CE,RT,RT 8.1,NT 4.0".split(","))  # noqa: SIM905


def device(agent: str, mobile: bool, tablet: bool, desktop: bool) -> str:
    """Return the class of device. Televisions and consoles call themselves what they are before all else."""
    if _TV.search(agent):
        return "tv"
    if _CONSOLE.search(agent):
        return "console"
    if tablet:
        return "tablet"
    if mobile:
        return "watch" if _WATCH.search(agent) else "mobile"
    return "desktop" if desktop else UNKNOWN


def _named(family: str) -> str:
    return " ".join(family[:40].split()) or UNKNOWN


def _major(version: str) -> str:
    return version if version.isascii() and version.isdigit() and len(version) < 4 else ""


def versioned(name: str, version: str) -> str:
    """Return ``"Chrome 131"``: the value that :func:`unversioned` takes apart again."""
    return f"{name} {version}" if version else name


def unversioned(value: str) -> tuple[str, ...]:
    """Return the parent of ``"Chrome 131"``, which is ``"Chrome"``; nothing has none."""
    name, space, version = value.rpartition(" ")
    if space and version.isdigit() and len(version) < 4:
        return (name,)
    return ("Windows",) if value.startswith("Windows ") and value[8:] in _WINDOWS else ()


# -- bots ------------------------------------------------------------------------------------------------------------

_CALLS_ITSELF = re.compile(
    # Words that no browser and hardly any device has in its name. Nothing before them: a prefix would be tried at every
    # letter of a long string.
    r"(?:bots?|b0t)(?![a-z])|crawl|spider|scrap[ei]|archiv|harvest|fetch|slurp|indexer|scann|monitor|uptime|pingdom|pinger"
    r"|probe[r\b]|validat|checker|link-?check|(?<!developer)preview|headless|phantomjs|lighthouse|page ?speed|gtmetrix"
    r"|screenshot|thumbnail|favicon|research|synthetic|webhook|imageproxy|unfurl|embedly|newsblur|netvibes|inoreader"
    r"|feed(?:ly|bin|burner|parser|wrangler|demon)|\brss\b(?! ?reader/)|aggregator|sitemap|\bseo|survey|playwright"
    r"|puppeteer|selenium|webdriver|facebookexternalhit|^whatsapp/|dataprovider|mediapartners|wayback|heritrix|httrack"
    r"|nutch|^wordpress/|analy[sz]|audit|health-?check|extractor|collector|grabber|copier|sucker|sniffer",
    re.IGNORECASE,
)
_NAME_BEFORE = re.compile(r"[\w.&'-]*")
_NAME_AFTER = re.compile(r"[\w.'-]*")
_SAYS_LITTLE = re.compile(
    r"(?:(?:web)?(?:ro)?bots?|crawl(?:er|ing)?|spider|seo|rss|preview)?(?:\.(?:html?|php|aspx?))?$", re.IGNORECASE
)
"""Names that are a word only, or come from the address that many bots leave."""
_DEVICES_LIKE_BOTS = ("cubot",)
"""What ends in "bot" and is a phone."""
_LIBRARY = re.compile(
    r"\b(curl|wget|python(?:-\w+)?|aiohttp|httpx|urllib\d?|scrapy|go-http-client|java|jakarta|apache-httpclient|okhttp"
    r"|libwww-perl|lwp(?:-[\w-]+)?|perl|php|guzzle(?:http)?|ruby|faraday|mechanize|node(?:-fetch|js|\.js)?|axios|undici"
    r"|superagent|got|deno|bun|dart|restsharp|httpie|winhttp|powershell|cpp-httplib|libcurl|pycurl|libsoup|nginx|jetty|netty"
    r"|vert\.x|reqwest|hyper|ureq|postmanruntime|insomnia|http-?client|httpunit|typhoeus|excon|zgrab|masscan|nmap|nikto"
    r"|sqlmap|google-http-java-client)(?:/v?\d|$| \()",
    re.IGNORECASE,
)
_CONTACT = re.compile(
    r"https?://(?!(?:www\.)?(?:bsalsa|avantbrowser|gnu|konqueror|crazybrowser|netsurf-browser|maxthon)\.)[\w.-]+"
    r"|[\w.+-]+(?:@|\[at\]| at )[\w-]+(?:\.| dot |\[dot\])[a-z]{2,}"
    r"|(?<!/)\bwww\.(?!avantbrowser|maxthon|bsalsa)[\w-]+\.[a-z]{2,}",
    re.IGNORECASE,
)
_PRODUCT = re.compile(r"([A-Za-z][\w.!&'-]*(?: [A-Z][\w.!&'-]*){0,3})")
_BROWSER_LIKE = re.compile(
    # What browsers, phones and the systems below them are called where the string doesn't begin with Mozilla.
    r"MIDP|CLDC|J2ME|Profile/|UP\.(?:Browser|Link)|Opera|DoCoMo|KDDI|J-PHONE|SoftBank|Vodafone|Nokia|Samsung|SEC-"
    r"|Ericsson|BlackBerry|\bMOT-|\bLG[-/]|Sharp|Alcatel|Panasonic|Philips|Sanyo|Siemens|SIE-|HTC|Palm|PSP"
    r"|Nintendo|UCWEB|Browser|WAP|Huawei|ZTE|Pantech|Sagem|Motorola|Lenovo|NetFront|Obigo|Teleca|Dorado|MAUI|Lynx"
    r"|Links|w3m|Dillo|NetSurf|iCab|Amaya|Mosaic|IBrowse|AWEB|OmniWeb|HotJava|Contiki|Midori|Konqueror|Epiphany"
    r"|Galeon|CFNetwork|Darwin|Dalvik|HbbTV|WebKit|KHTML|Gecko|MSIE|Safari|Firefox|Chrome|iPhone|iPad|\biOS\b"
    r"|watchOS|Android|Windows|Macintosh|Mac OS|X11|Symb|Series ?[46]0|BREW|Dolphin|Maxthon|Thunderbird|Airmail"
    r"|Outlook|The Bat!|Barca|\[FBAN|Roku",
    re.IGNORECASE,
)
_COMPATIBLE = re.compile(
    # Only browsers of the nineties went on as "compatible"; crawlers still do, with their own name after it.
    r"^Mozilla/\d\.\d+ ?\(compatible;(?! *(?:MSIE|Windows|Linux|U;|Konqueror|Opera|iCab|IBrowse|OmniWeb|NetFront"
    r"|NetPositive|Lotus|WebTV|AOL|ABrowse|AmigaVoyager|HTTrack|FRITZ|Win32|[\d.]+;))"
    r"|like Gecko; ?compatible; ",
    re.IGNORECASE,
)
_GENERIC = (
    "mozilla compatible windows linux macintosh applewebkit version gecko khtml msie u x11 chrome safari android "
    "mobile like intel mac os x nt http https win64 x64 wow64 trident net firefox"
)
_GENERIC_NAMES = frozenset(_GENERIC.split())


def bot_by_words(agent: str) -> str:
    """Return the name of a bot that says what it is, or an empty text.

    It calls itself a bot, crawler, checker …; it is a program's HTTP library; it leaves an address where to complain;
    it is "compatible" and no browser of old; or its string doesn't begin as those of browsers and phones do.
    """
    if agent == UNRECORDED:
        return ""
    if not agent.strip(" -"):
        return "(no agent)"
    for found in _CALLS_ITSELF.finditer(agent):
        name = _name_around(agent, found)
        if not name.lower().startswith(_DEVICES_LIKE_BOTS):
            return bot_name(_product(agent) or name if _SAYS_LITTLE.match(name) else name)
    library = _LIBRARY.search(agent)
    if library:
        return bot_name(library[0])
    if _CONTACT.search(agent) or _COMPATIBLE.search(agent):
        return bot_name(_product(agent))
    if not agent.startswith(("Mozilla/", "Opera/")) and not _BROWSER_LIKE.search(agent):
        return bot_name(_product(agent))
    return ""


def _name_around(agent: str, word: re.Match[str]) -> str:
    """Return the whole name that a word is part of."""
    before = agent[max(0, word.start() - 40) : word.start()]
    kept = _NAME_BEFORE.match(before[::-1])
    after = _NAME_AFTER.match(agent, word.end())
    return (kept[0][::-1] if kept else "") + word[0] + (after[0] if after else "")


def _product(agent: str) -> str:
    """Return the first product that isn't one of those which every agent names."""
    for match in _PRODUCT.finditer(agent):
        if match[1].lower().partition(" ")[0].partition("/")[0] not in _GENERIC_NAMES:
            return match[1]
    return ""


def bot_name(text: str) -> str:
    """Return the name under which a bot is counted: one line, without version, at most 40 characters."""
    name = scrub(re.sub(r"[/ (]*v?\d[\d.]*$", "", " ".join(text.split()))).strip(" /;,.()-_'")
    return name[:40] or "(unnamed bot)"


_CHROME = re.compile(r"\bChrom(?:e|ium)/(\d+)")
_FIREFOX = re.compile(r"\brv:(\d+)[\d.]*\) Gecko/\S+ Firefox/(\d+)")
_NOT_AFTER = (
    re.compile(r"Windows NT (\d+)"),
    re.compile(r"\bAndroid (\d+)"),
    re.compile(r"\bMSIE (\d+)"),
    re.compile(r"(?:CPU|iPhone) OS (\d+)_"),
)
_LATEST = (10, 99, 11, 99)
_EPOCH = 1_731_369_600.0
"""2024-11-12, when Chrome 131 and Firefox 132 were current (seconds, UTC)."""
_WEEK = 604_800.0


def versions(agent: str) -> tuple[int, int, bool]:
    """Return the Chromium a user agent string claims, the highest version that it claims of any browser that counts
    its releases, and whether it names what there never was.

    Since 2010 Firefox says its version twice, and the two agree but for 110 to 119, which all say 109.
    """
    match = _CHROME.search(agent)
    chromium = newest = int(match[1][:6]) if match else 0
    never = False
    match = _FIREFOX.search(agent)
    if match:
        told, newest = int(match[1][:6]), int(match[2][:6])
        never |= newest >= 15 and told != newest and not (110 <= newest <= 119 and told == 109)
    never |= any(
        (match := pattern.search(agent)) is not None and int(match[1][:6]) > latest
        for pattern, latest in zip(_NOT_AFTER, _LATEST, strict=True)
    )
    return chromium, newest, never


def is_impossible(agent: Agent, time: float) -> bool:
    """Whether an agent names a version that cannot be at ``time`` (seconds, UTC).

    Browsers count up by one every four weeks, of late every two; a generous margin covers preview builds.
    """
    return agent.impossible or agent.newest > 145 + max(0.0, time - _EPOCH) / (2 * _WEEK)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DESTINATIONS = _words(
    "audio audioworklet document embed empty fencedframe font frame iframe image json manifest object "
    "paintworklet report script serviceworker sharedworker speculationrules style track video webidentity "
    "worker xslt"
)
_MODES = frozenset(["cors", "navigate", "no-cors", "same-origin", "websocket", "webtransport"])
_SITES = frozenset(["cross-site", "same-origin", "same-site", "none"])
_BRAND = re.compile(r'"Chromium";\s*v="(\d+)')


def contradicts(  # one argument a header
    agent: str, chromium: int, accept: str, dest: str, mode: str, site: str, user: str, brands: str, platform: str
) -> str:
    """Return which headers contradict each other as no browser's do, or an empty text.

    Fetch Metadata (W3C, section 2) has closed sets of values, and a navigation always asks for HTML; User-Agent Client
    Hints (section 3) name the same Chromium as the user agent string does.
    """
    if (dest and dest not in _DESTINATIONS) or (mode and mode not in _MODES) or (site and site not in _SITES):
        return "fetch metadata"
    if user not in ("", "?1") or (dest == "document" and mode not in ("", "navigate")):
        return "fetch metadata"
    if dest == "document" and accept and "html" not in accept and "*/*" not in accept:
        return "accept"
    if not brands:
        return ""
    if "Headless" in brands:
        return "headless"
    match = _BRAND.search(brands)
    if match and agent.startswith("Mozilla/") and int(match[1][:6]) != chromium:
        return "client hints"
    if platform.strip('"') == "Linux" and "Windows NT" in agent:
        return "client hints"
    return ""
