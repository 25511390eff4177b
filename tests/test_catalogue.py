"""The shipped catalogue holds to its own rules, and knows what real sites load."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import geoip2.database
import maxminddb
import pytest
from publicsuffixlist import PublicSuffixList

from vestibule import catalogue
from vestibule.catalogue import blocks
from vestibule.core.consent import Purpose, State
from vestibule.core.services import Service
from vestibule.core.signatures import Signatures, check, literal_prefix
from vestibule.core.trackers import Rules

CATALOGUE = catalogue.load()
FOLDER = Path(catalogue.__file__).parent
FILES = sorted((FOLDER / "services").glob("*.json"))
SUFFIXES = PublicSuffixList()
RULES = Rules(
    CATALOGUE.services, states={}, unknown=State.BLOCK, first_party=["site.example"], registrable=SUFFIXES.privatesuffix
)
CATEGORIES = sorted({service.category for service in CATALOGUE.services})
EVERY_CATEGORY = pytest.mark.parametrize("category", CATEGORIES)


def of(category: str) -> Iterator[Service]:
    return (service for service in CATALOGUE.services if service.category == category)


# Its rules


def test_there_is_enough() -> None:
    assert len(CATALOGUE.services) >= 2000
    assert sum(len(service.hosts) for service in CATALOGUE.services) >= 3000
    assert len({cookie.pattern for service in CATALOGUE.services for cookie in service.cookies}) >= 600


def test_those_that_matter_are_reviewed() -> None:
    reviewed = [service for service in CATALOGUE.services if service.id in CATALOGUE.by_hand]
    assert len(reviewed) >= 150
    assert catalogue.reviewed().services == tuple(reviewed)
    assert all(service.policy and service.sentence and service.provider for service in reviewed)
    for what in ("hosts", "inline", "cookies", "country"):
        assert sum(bool(getattr(service, what)) for service in reviewed) >= 150, what
    lasting = [cookie for service in reviewed for cookie in service.cookies if cookie.duration is not None]
    assert len({cookie.pattern for cookie in lasting}) >= 600


def test_the_ids_alone_are_those_of_all() -> None:
    assert catalogue.ids() == {service.id for service in CATALOGUE.services}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_files_are_categories_without_duplicates(file: Path) -> None:
    assert file.stem in catalogue.PURPOSES

    def no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert [key for key, count in Counter(key for key, _ in pairs).items() if count > 1] == []
        return dict(pairs)

    json.loads(file.read_text("utf-8"), object_pairs_hook=no_duplicates)


def test_ids_are_unique() -> None:
    ids = Counter(service.id for service in CATALOGUE.services)
    assert [id_ for id_, count in ids.items() if count > 1] == []


@EVERY_CATEGORY
def test_what_a_service_says(category: str) -> None:
    for service in of(category):
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", service.id)
        assert service.name.strip() == service.name != ""
        assert service.provider.strip() == service.provider != ""
        assert re.fullmatch(r"https://[a-z0-9.-]+(/\S*)?", service.policy) or (
            service.policy == "" and service.id not in CATALOGUE.by_hand
        )
        assert re.fullmatch(r"[A-Z][^\n]{8,110}\.", service.sentence), service.id
        assert service.country in catalogue.continents() or service.country == ""
        assert service.hosts or service.paths or service.inline or service.relays


@EVERY_CATEGORY
def test_purposes_follow_categories(category: str) -> None:
    for service in of(category):
        mapped = catalogue.PURPOSES[service.category]
        assert service.purpose is mapped or service.purpose in (Purpose.STATISTICS, Purpose.MARKETING)
        # Nothing becomes necessary but what takes payments, and so what a file of services is called decides alone.
        assert (service.purpose is Purpose.NECESSARY) <= (service.category == "payment")


@pytest.mark.parametrize(
    ("category", "purpose"),
    [
        ("advertising", Purpose.MARKETING),
        ("social", Purpose.MARKETING),
        ("tag-manager", Purpose.MARKETING),
        ("analytics", Purpose.STATISTICS),
        ("video", Purpose.PREFERENCES),
        ("chat", Purpose.PREFERENCES),
        ("maps", Purpose.PREFERENCES),
        ("fonts", Purpose.PREFERENCES),
        ("utility", Purpose.PREFERENCES),
        ("cdn", Purpose.PREFERENCES),
        ("hosting", Purpose.PREFERENCES),
        ("other", Purpose.MARKETING),
    ],
)
def test_mapping_of_categories(category: str, purpose: Purpose) -> None:
    assert catalogue.PURPOSES[category] is purpose


def test_only_payment_is_necessary() -> None:
    assert [name for name, purpose in catalogue.PURPOSES.items() if purpose is Purpose.NECESSARY] == ["payment"]


def test_what_nobody_reviewed_is_never_necessary() -> None:
    necessary = {service.id for service in CATALOGUE.services if service.purpose is Purpose.NECESSARY}
    assert necessary <= CATALOGUE.by_hand


def test_what_nobody_reviewed_stays_what_it_was() -> None:
    """Without a line in the configuration a known host is closed as an unknown one is, only with a name."""
    plain = Rules(
        catalogue.reviewed().services,
        states={},
        unknown=State.BLOCK,
        first_party=["site.example"],
        registrable=SUFFIXES.privatesuffix,
    )
    others = [service for service in CATALOGUE.services if service.id not in CATALOGUE.by_hand]
    for service in others:
        for host in service.hosts:
            name = host.removeprefix("*.")
            before, now = plain.decide(name, "/"), RULES.decide(name, "/")
            assert (before.service, before.state) == (None, State.BLOCK), name
            assert (now.service, now.state) == (service.id, State.BLOCK), name
    assert RULES.services_in_use() == ()
    assert RULES.allowed_hosts(None) == plain.allowed_hosts(None)


SHARED_SUFFIXES = {"githubusercontent.com", "ladesk.com", "notion.site", "csb.app"}
"""Public suffixes that belong to one service all the same."""


@EVERY_CATEGORY
def test_hosts_are_names_of_someone(category: str) -> None:
    for service in of(category):
        names = [host.removeprefix("*.") for host in service.hosts]
        for name in names:
            assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+", name), name
            assert not name.rpartition(".")[2].isdigit()
            assert SUFFIXES.privatesuffix(name) or name in SHARED_SUFFIXES, name
        for path in service.paths:
            assert "/" in path.removeprefix("/")
        for relay in service.relays:
            assert re.fullmatch(r"\*?/\S{4,}", relay)


def test_no_place_is_claimed_twice() -> None:
    places = Counter(
        place
        for service in CATALOGUE.services
        for place in {place.removeprefix("*.") for place in (*service.hosts, *service.paths)}
    )
    assert [place for place, count in places.items() if count > 1] == []


RENTED = (
    "x.cloudfront.net x.s3.amazonaws.com x.azureedge.net x.github.io x.web.app x.netlify.app x.pages.dev "
    "x.blob.core.windows.net storage.googleapis.com x.workers.dev x.herokuapp.com x.vercel.app"
)


def test_nobody_is_given_what_anybody_can_rent() -> None:
    for host in RENTED.split():
        assert RULES.decide(host, "/").service is None, host


@EVERY_CATEGORY
def test_signatures_are_fit_and_find_themselves(category: str) -> None:
    for service in of(category):
        for signature in service.inline:
            assert check(signature) is None, signature
        plain = [
            signature
            for signature in service.inline
            if re.sub(r"\\(\W)", r"\1", signature) == literal_prefix(signature)
        ]
        for signature in plain:
            script = b"(" + literal_prefix(signature).encode() + b" "
            assert Signatures({service.id: [signature]}).find(script) == {service.id}


def test_no_signature_belongs_to_two() -> None:
    signatures = Counter(signature for service in CATALOGUE.services for signature in service.inline)
    assert [signature for signature, count in signatures.items() if count > 1] == []


@EVERY_CATEGORY
def test_cookies_and_storage(category: str) -> None:
    for service in of(category):
        for cookie in service.cookies:
            assert cookie.service == service.id
            assert cookie.purpose is service.purpose
            assert re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z/:-]+", cookie.pattern), cookie.pattern
            assert cookie.duration is None or 0 <= cookie.duration <= 50 * 31_536_000
            if not cookie.third_party and "*" in cookie.pattern:
                assert len(cookie.pattern.replace("*", "")) >= 3, cookie.pattern
        for pattern in service.storage:
            assert len(pattern.replace("*", "")) >= 3, pattern


ORDINARY_COOKIES = (
    "session sessionid PHPSESSID JSESSIONID ASP.NET_SessionId csrftoken XSRF-TOKEN lang language locale uid id user "
    "user_id token auth cart basket theme currency country visitor visitorId guest c s u sid rl_visitor relaso_session "
    "connect.sid laravel_session wordpress_logged_in_x wp-settings-1 cookieconsent_status consent timezone"
)


@pytest.mark.parametrize("name", ORDINARY_COOKIES.split())
def test_ordinary_cookies_of_sites_belong_to_nobody(name: str) -> None:
    assert RULES.cookie(name) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("session", 0),
        ("10s", 10),
        ("30min", 1800),
        ("24h", 86400),
        ("90d", 7_776_000),
        ("13mo", 34_164_000),
        ("2y", 63_072_000),
    ],
)
def test_durations(text: str | None, seconds: int | None) -> None:
    assert blocks.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "y", "2 y", "-1d", "1.5h", "2m", "２y", "99999d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        blocks.duration(text)


def test_finding_services() -> None:
    assert [service.id for service in CATALOGUE.find("hotjar")] == ["hotjar"]
    assert "google-analytics" in [service.id for service in CATALOGUE.find("GOOGLE ireland")]
    assert [service.id for service in CATALOGUE.find("clarity.ms")] == ["microsoft-clarity"]
    assert CATALOGUE.find("no such thing") == ()
    assert CATALOGUE.get("no such thing") is None


# What it knows


@pytest.mark.parametrize(
    ("url", "id_"),
    [
        ("www.googletagmanager.com/gtm.js?id=GTM-DEMO123", "google-tag-manager"),
        ("www.googletagmanager.com/ns.html?id=GTM-DEMO123", "google-tag-manager"),
        ("www.googletagmanager.com/gtag/js?id=G-DEMO12345", "google-analytics"),
        ("www.googletagmanager.com/gtag/js?id=AW-123", "google-ads"),
        ("www.googletagmanager.com/gtag/js?l=dataLayer&id=DC-123", "doubleclick"),
        ("www.google-analytics.com/analytics.js", "google-analytics"),
        ("region1.google-analytics.com/g/collect?v=2", "google-analytics"),
        ("stats.g.doubleclick.net/j/collect", "doubleclick"),
        ("www.google.com/pagead/1p-user-list/1/", "google-ads"),
        ("www.google.de/ads/ga-audiences?v=1", "google-ads"),
        ("www.google.com/recaptcha/api.js", "recaptcha"),
        ("www.gstatic.com/recaptcha/releases/x/recaptcha__en.js", "recaptcha"),
        ("www.gstatic.com/charts/loader.js", "google-hosted-libraries"),
        ("www.google.com/maps/embed?pb=1", "google-maps"),
        ("maps.googleapis.com/maps/api/js?key=1", "google-maps"),
        ("fonts.googleapis.com/css2?family=Inter", "google-fonts"),
        ("fonts.gstatic.com/s/inter/v1/a.woff2", "google-fonts"),
        ("ajax.googleapis.com/ajax/libs/jquery/3/jquery.min.js", "google-hosted-libraries"),
        ("ajax.googleapis.com/ajax/libs/webfont/1/webfont.js", "google-fonts"),
        ("connect.facebook.net/en_US/fbevents.js", "meta-pixel"),
        ("connect.facebook.net/signals/config/1", "meta-pixel"),
        ("connect.facebook.net/de_DE/sdk.js", "facebook"),
        ("www.facebook.com/tr?id=1&ev=PageView&noscript=1", "meta-pixel"),
        ("www.facebook.com/plugins/page.php", "facebook"),
        ("static.hotjar.com/c/hotjar-1.js?sv=6", "hotjar"),
        ("snap.licdn.com/li.lms-analytics/insight.min.js", "linkedin-insight"),
        ("px.ads.linkedin.com/collect/?pid=1&fmt=gif", "linkedin-insight"),
        ("media.licdn.com/x.jpg", "linkedin"),
        ("js.hs-scripts.com/1.js", "hubspot"),
        ("js-eu1.hsforms.net/forms/embed/v2.js", "hubspot"),
        ("widget.intercom.io/widget/abc", "intercom"),
        ("js.intercomcdn.com/shim.latest.js", "intercom"),
        ("www.youtube.com/embed/x", "youtube"),
        ("www.youtube-nocookie.com/embed/x", "youtube"),
        ("i.ytimg.com/vi/x/hqdefault.jpg", "youtube"),
        ("player.vimeo.com/video/1", "vimeo"),
        ("js.stripe.com/v3/", "stripe"),
        ("m.stripe.network/inner.html", "stripe"),
        ("www.paypal.com/sdk/js?client-id=1", "paypal"),
        ("cdnjs.cloudflare.com/ajax/libs/x/1/x.js", "cdnjs"),
        ("cdn.jsdelivr.net/npm/x", "jsdelivr"),
        ("unpkg.com/x", "unpkg"),
        ("cdn.jsdelivr.net/npm/yandex-metrica-watch/tag.js", "yandex-metrica"),
        ("platform.twitter.com/widgets.js", "x-twitter"),
        ("static.ads-twitter.com/uwt.js", "x-twitter-ads"),
        ("t.co/i/adsct?x=1", "x-twitter-ads"),
        ("t.co/abc", None),
        ("analytics.tiktok.com/i18n/pixel/events.js", "tiktok"),
        ("www.tiktok.com/embed.js", "tiktok-embeds"),
        ("www.clarity.ms/tag/x", "microsoft-clarity"),
        ("bat.bing.com/bat.js", "microsoft-ads"),
        ("cdn.segment.com/analytics.js/v1/x/analytics.min.js", "segment"),
        ("cdn.mxpnl.com/libs/mixpanel-2-latest.min.js", "mixpanel"),
        ("cdn.amplitude.com/libs/x.js", "amplitude"),
        ("cdn.matomo.cloud/x.matomo.cloud/matomo.js", "matomo-cloud"),
        ("cdn.matomo.cloud/x.matomo.cloud/container_abc.js", "matomo-tag-manager"),
        ("plausible.io/js/script.js", "plausible"),
        ("client.crisp.chat/l.js", "crisp"),
        ("static.zdassets.com/ekr/snippet.js?key=1", "zendesk"),
        ("js.driftt.com/include/1/x.js", "drift"),
        ("assets.calendly.com/assets/external/widget.js", "calendly"),
        ("embed.typeform.com/next/embed.js", "typeform"),
        ("chimpstatic.com/mcjs-connected/js/users/x.js", "mailchimp"),
        ("static.cloudflareinsights.com/beacon.min.js", "cloudflare-insights"),
        ("challenges.cloudflare.com/turnstile/v0/api.js", "cloudflare-turnstile"),
        ("browser.sentry-cdn.com/8/bundle.min.js", "sentry"),
        ("o1.ingest.sentry.io/api/1/envelope/", "sentry"),
        ("js-agent.newrelic.com/nr.js", "new-relic"),
        ("www.datadoghq-browser-agent.com/eu1/v5/datadog-rum.js", "datadog-rum"),
        ("s.pinimg.com/ct/core.js", "pinterest"),
        ("i.pinimg.com/x.jpg", "pinterest-widgets"),
        ("sc-static.net/scevent.min.js", "snapchat"),
        ("dynamic.criteo.com/js/ld/ld.js", "criteo"),
        ("cdn.taboola.com/libtrc/x/loader.js", "taboola"),
        ("amplify.outbrain.com/cp/obtp.js", "outbrain"),
        ("assets.adobedtm.com/x/launch-1.min.js", "adobe-launch"),
        ("x.sc.omtrdc.net/b/ss/x", "adobe-analytics"),
        ("x.tt.omtrdc.net/m2/x", "adobe-target"),
        ("dpm.demdex.net/id", "adobe-audience-manager"),
        ("use.typekit.net/x.js", "adobe-fonts"),
        ("munchkin.marketo.net/munchkin.js", "marketo"),
        ("pi.pardot.com/pd.js", "pardot"),
        ("cdn.optimizely.com/js/1.js", "optimizely"),
        ("dev.visualwebsiteoptimizer.com/j.php", "vwo"),
        ("edge.fullstory.com/s/fs.js", "fullstory"),
        ("cdn.mouseflow.com/projects/x.js", "mouseflow"),
        ("cdn.cookielaw.org/scripttemplates/otSDKStub.js", "onetrust"),
        ("widget.partner.example/w.js", None),
        ("google.com/search", None),
        ("www.microsoft.com/", None),
    ],
)
def test_well_known_places(url: str, id_: str | None) -> None:
    host, slash, path = url.partition("/")
    assert RULES.decide(host, slash + path).service == id_


@pytest.mark.parametrize(
    ("name", "id_", "seconds"),
    [
        ("_ga", "google-analytics", 63_072_000),
        ("_ga_DEMO12345", "google-analytics", 63_072_000),
        ("_gid", "google-analytics", 86_400),
        ("_gcl_au", "google-ads", 7_776_000),
        ("_fbp", "meta-pixel", 7_776_000),
        ("_hjSessionUser_1", "hotjar", 31_536_000),
        ("_hjSomethingNew", "hotjar", None),
        ("li_fat_id", "linkedin-insight", 2_592_000),
        ("hubspotutk", "hubspot", 15_552_000),
        ("intercom-id-abc", "intercom", 23_414_400),
        ("_pk_id.1.1fff", "matomo-cloud", 33_955_200),
        ("_clck", "microsoft-clarity", 34_164_000),
        ("__stripe_mid", "stripe", 31_536_000),
        ("__utmz", "google-analytics", 15_768_000),
        ("ajs_anonymous_id", "segment", 31_536_000),
        ("mp_abc_mixpanel", "mixpanel", 31_536_000),
    ],
)
def test_well_known_cookies(name: str, id_: str, seconds: int | None) -> None:
    cookie = RULES.cookie(name)
    assert cookie is not None
    assert (cookie.service, cookie.duration) == (id_, seconds)


@pytest.mark.parametrize(
    ("script", "id_"),
    [
        ("(function(w,d,s,l,i){w[l]=w[l]||[];w[l].push({'gtm.start':new Date()});})(window)", "google-tag-manager"),
        ("window.dataLayer=[];function gtag(){dataLayer.push(arguments);}gtag('config', 'G-1')", "google-analytics"),
        ('gtag("config","AW-123")', "google-ads"),
        ("(function(i,s,o){i['GoogleAnalyticsObject']=o})(window)", "google-analytics"),
        ("!function(v){t.src=v}('https://connect.facebook.net/en_US/fbevents.js');fbq('init', '1');", "meta-pixel"),
        ("(function(h,o,t,j){h._hjSettings={hjid:1,hjsv:6};})(window)", "hotjar"),
        ('_linkedin_partner_id = "1";', "linkedin-insight"),
        ("window.intercomSettings = {app_id: 'x'};", "intercom"),
        ('hbspt.forms.create({portalId: "1"})', "hubspot"),
        ("window.$crisp=[];window.CRISP_WEBSITE_ID='x'", "crisp"),
        ("var _paq = window._paq = window._paq || []; _paq.push(['trackPageView']);", "matomo"),
        ('!function(){var analytics=window.analytics=[];analytics.SNIPPET_VERSION="4.15.3"}()', "segment"),
        ('(function(c,l,a,r){t.src="https://www.clarity.ms/tag/"+i})(window)', "microsoft-clarity"),
        ("(function(m,e,t,r){})(window);ym(12345678, \"init\", {})", "yandex-metrica"),
        ("Sentry.init({dsn: 'x'})", "sentry"),
        ("window.Tawk_API=window.Tawk_API||{}", "tawk-to"),
        ("twq('config','x')", "x-twitter-ads"),
        ("var s='https:\\/\\/static.hotjar.com\\/c\\/hotjar-'", "hotjar"),
    ],
)  # fmt: skip
def test_vendors_scripts(script: str, id_: str) -> None:
    verdict = RULES.decide_inline(script.encode())
    assert verdict is not None
    assert verdict.service == id_


@pytest.mark.parametrize(
    "script",
    [
        "document.documentElement.className = 'js'",
        "window.__NEXT_DATA__={props:{links:['https://www.facebook.com/relaso','https://x.com/relaso','https://youtube.com/@x']}}",
        "const headersConf = {}, usersConfig = 1, has_account = true; http.push(1); $('#x').html('account'); jobApi(1)",
        "require('identify'); require('./track'); axiom.c(1); analytics.load(); cart.load(); app.init(); queue.push(1)",
        "import('/app.js').then(m => m.default({locale: 'de', stripe: false}))",
        "dataLayer = []; function gtag(){dataLayer.push(arguments)} gtag('consent', 'default', {})",
        "window.vestibule && vestibule.ask(); matomo = false; plausibleDeniability()",
    ],
)
def test_ordinary_scripts_of_sites_belong_to_nobody(script: str) -> None:
    assert RULES.decide_inline(script.encode()) is None


def test_relays_on_the_site_itself() -> None:
    for path, id_ in {
        "/matomo/matomo.php?idsite=1": "matomo",
        "/gtm.js?id=GTM-1": "google-tag-manager",
        "/gtm/collect?v=2": "google-tag-manager",
        "/metrics/gtag/js?id=G-1": "google-analytics",
        "/metrics/g/collect?v=2": "google-analytics",
        "/cdn-cgi/rum": "cloudflare-insights",
        "/_vercel/insights/script.js": "vercel-analytics",
        "/docs/google-analytics/setup": None,
        "/api/event": None,
        "/blog/matomo": None,
        "/g/collection": None,
    }.items():
        assert RULES.decide("site.example", path).service == id_, path


# Countries


@pytest.mark.parametrize(
    ("address", "country", "continent"),
    [
        ("8.8.8.0", "US", "NA"),
        ("1.1.1.0", "AU", "OC"),
        ("193.99.144.0", "DE", "EU"),
        ("212.58.244.0", "GB", "EU"),
        ("200.160.2.0", "BR", "SA"),
        ("41.0.0.0", "ZA", "AF"),
        ("133.11.0.0", "JP", "AS"),
        ("2003::", "DE", "EU"),
        ("2001:4860:4860::", "US", "NA"),
        ("2a01:4f8::", "DE", "EU"),
    ],
)
def test_countries(address: str, country: str, continent: str) -> None:
    with geoip2.database.Reader(catalogue.country_database()) as reader:
        found = reader.country(address)
    assert (found.country.iso_code, found.continent.code) == (country, continent)


@pytest.mark.parametrize("address", ["10.0.0.0", "127.0.0.0", "192.168.0.0", "fe80::", "::"])
def test_addresses_of_no_country(address: str) -> None:
    with maxminddb.open_database(catalogue.country_database()) as reader:
        assert reader.get(address) is None


def test_the_country_database_is_small_and_coarse() -> None:
    assert catalogue.country_database().stat().st_size < 5_000_000
    with maxminddb.open_database(catalogue.country_database()) as reader:
        assert reader.metadata().database_type == "Vestibule-Country"
        lengths = Counter[tuple[int, bool]]()
        for number, (network, record) in enumerate(reader):
            assert isinstance(record, dict)
            lengths[network.version, network.prefixlen > (24 if network.version == 4 else 48)] += 1
            if number > 50_000:
                break
    assert lengths[4, True] == lengths[6, True] == 0


def test_continents_know_every_country_of_the_database() -> None:
    folded = json.loads((FOLDER / "continents.json").read_text("utf-8"))
    assert sorted(folded) == ["AF", "AN", "AS", "EU", "NA", "OC", "SA"]
    countries = [country for members in folded.values() for country in members]
    assert len(countries) == len(set(countries)) == len(catalogue.continents())
    assert catalogue.continents()["DE"] == "EU"


def test_sources_are_named() -> None:
    notice = (FOLDER / "NOTICE").read_text("utf-8")
    for source in ("third-party-web", "tarteaucitron", "nro.net", "CC BY 4.0", "MIT"):
        assert source in notice
