"""``vestibule init``: a first configuration that says what was found, that `check` accepts and `serve` starts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from demo.site import create_app
from tests.commands import Run, in_this_process
from tests.servers import free_port, serve_asgi, vestibule_process, wait_until
from vestibule import catalogue, config
from vestibule.cli.starting import timezone
from vestibule.config import schema
from vestibule.core.consent import Purpose, State
from vestibule.scan.drafting import Draft, comment, draft, places, scalar, site_hosts
from vestibule.scan.findings import Findings, FoundCookie, Party
from vestibule.scan.reading import Outline

SERVICES = {service.id: service for service in catalogue.load().services}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return in_this_process(monkeypatch, capsys)


@pytest.fixture(scope="module")
def demo() -> Iterator[str]:
    with serve_asgi(create_app()) as url:
        yield url.replace("127.0.0.1", "localhost")


def test_the_demo(run: Run, demo: str, tmp_path: Path) -> None:
    folder = tmp_path / "config"
    code, out, err = run("init", demo, "--config", str(folder))
    assert (code, err) == (0, "")
    assert "12 services, 2 hosts that nothing names, 2 cookies" in out
    assert "sign_in.cookies" in out
    assert sorted(path.name for path in folder.iterdir()) == ["schema", "site.yaml", "trackers.yaml"]
    assert run("check", "--config", str(folder))[:2] == (0, f"{folder}/: fine\n")

    found = config.load(folder, {})
    assert found.site.upstream == demo
    assert (found.mode, found.cookies.unknown, found.trackers.unknown) == ("enforce", "block", State.BLOCK)
    assert (found.policy.url, found.policy.contact) == ("/privacy", "legal@relaso.com")
    assert (found.sign_in.login.path, found.sign_in.login.field) == ("/login", "keep_me_signed_in")
    assert found.trackers.services == {"stripe": State.ALLOW} | dict.fromkeys(
        (
            *("adobe-fonts", "cdnjs", "google-fonts", "intercom", "youtube", "google-analytics", "hotjar"),
            *("google-tag-manager", "hubspot", "linkedin-insight", "meta-pixel"),
        ),
        State.ASK,
    )

    text = (folder / "trackers.yaml").read_text("utf-8")
    for id_ in found.trackers.services:  # each is explained above its line
        assert re.search(rf"^  # {re.escape(SERVICES[id_].name)} \(.*(?:\n  # .*)+\n  {id_}: ", text, re.MULTILINE), id_
    for host in ("stats.unknown-third.example", "widget.partner.example", "collect.unknown-third.example"):
        assert f"Nothing names {host}," in text
    assert "# rl_visitor: nothing tells what it is for" in (folder / "site.yaml").read_text("utf-8")

    code, out, _ = run("scan", demo, "--config", str(folder))
    assert code == 1  # what nobody decided on is for somebody to decide
    assert {line.split()[1] for line in out.splitlines() if line.startswith("?")} == {
        "stats.unknown-third.example",
        "widget.partner.example",
        "rl_visitor",
    }


def test_its_comments_become_settings(run: Run, demo: str, tmp_path: Path) -> None:
    """Each suggested line works once its mark is taken away, and then nothing is unknown."""
    run("init", demo, "--config", str(tmp_path))
    for name, section in (("site.yaml", "declare"), ("trackers.yaml", "custom")):
        text = (tmp_path / name).read_text("utf-8")
        indent = "  " if section == "declare" else ""
        lines = re.findall(rf"^{indent}# (  \S+: \{{.*)$", text, re.MULTILINE)
        assert lines
        text = re.sub(
            rf"^{indent}{section}: \{{\}}",
            f"{indent}{section}:\n" + "\n".join(indent + line for line in lines),
            text,
            flags=re.MULTILINE,
        )
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert run("check", "--config", str(tmp_path))[0] == 0
    assert run("scan", demo, "--config", str(tmp_path))[0] == 0


def test_it_serves(run: Run, demo: str, tmp_path: Path) -> None:
    folder = tmp_path / "config"
    assert run("init", demo, "--config", str(folder), "--pages", "2")[0] == 0
    port = free_port()
    environ = {"VESTIBULE_LISTEN": f"127.0.0.1:{port}", "VESTIBULE_DASHBOARD__LISTEN": f"127.0.0.1:{free_port()}"}
    request = Request(f"http://127.0.0.1:{port}/", headers={"Accept": "text/html"})

    def page() -> bytes:
        try:
            with urlopen(request, timeout=5) as answer:
                body: bytes = answer.read()
                return body
        except OSError:
            return b""

    arguments = ["serve", "--dev", "--workers", "1", "--config", str(folder), "--state", str(tmp_path / "state")]
    with vestibule_process(arguments, environ, cwd=tmp_path):
        wait_until(lambda: b'id="vestibule"' in page(), "the banner", 60)
        assert b' src="https://www.googletagmanager.com' not in page()


def test_what_is_there_stays(run: Run, demo: str, tmp_path: Path) -> None:
    (tmp_path / "trackers.yaml").write_text("unknown: ask\n")
    code, out, err = run("init", demo, "--config", str(tmp_path))
    assert (code, out) == (1, "")
    assert "--force" in err
    assert (tmp_path / "trackers.yaml").read_text() == "unknown: ask\n"
    assert run("init", demo, "--config", str(tmp_path), "--force", "--pages", "1")[0] == 0
    assert "unknown: block" in (tmp_path / "trackers.yaml").read_text()


def test_a_site_that_does_not_answer_leaves_nothing_behind(run: Run, tmp_path: Path) -> None:
    code, out, err = run("init", f"http://localhost:{free_port()}", "--config", str(tmp_path / "config"))
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert not (tmp_path / "config").exists()


# The draft alone


def drafted(
    parties: list[Party], cookies: list[FoundCookie], outline: Outline, url: str = "https://a.example/"
) -> Draft:
    findings = Findings(url, [url], False, parties, cookies)
    names = {f"{name}.yaml": f"schema/{name}.json" for name in schema.FILES}
    return draft(findings, [outline], SERVICES, today=date(2026, 11, 22), timezone="UTC", schema=names)


def loaded(made: Draft, folder: Path) -> config.Config:
    (folder / "site.yaml").write_text(made.site, encoding="utf-8")
    (folder / "trackers.yaml").write_text(made.trackers, encoding="utf-8")
    return config.load(folder, {})


def cookie(name: str, service: str = "") -> FoundCookie:
    return FoundCookie(
        name, "a.example", False, service, Purpose.MARKETING, State.BLOCK, False, "", 60, True, ["https://a.example/"]
    )


def party(host: str, service: str = "") -> Party:
    made = Party(host, service, "", Purpose.MARKETING, State.BLOCK, False, "", certain=True, inside=False)
    made.kinds.add("script")
    made.pages.append("https://a.example/x")
    return made


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("PHPSESSID", {"purpose": Purpose.NECESSARY, "scripts": False}),
        ("myapp_session", {"purpose": Purpose.NECESSARY, "scripts": False}),
        ("csrftoken", {"purpose": Purpose.NECESSARY, "scripts": True}),
        ("XSRF-TOKEN", {"purpose": Purpose.NECESSARY, "scripts": True}),
        ("visitor", None),
        ("session_replay", None),
    ],
)
def test_cookies_that_are_necessary_by_their_names(
    name: str, setting: dict[str, object] | None, tmp_path: Path
) -> None:
    declared = loaded(drafted([], [cookie(name)], Outline()), tmp_path).cookies.declare_
    assert {key: each.model_dump(include={"purpose", "scripts"}) for key, each in declared.items()} == (
        {name: setting} if setting else {}
    )


def test_the_session_is_named_where_people_sign_in(tmp_path: Path) -> None:
    outline = Outline(login="https://a.example/in", logout="https://a.example/out?x", policy="https://a.example/p")
    found = loaded(drafted([], [cookie("sessionid")], outline), tmp_path)
    assert (found.sign_in.cookies, found.sign_in.login.path, found.sign_in.logout) == (("sessionid",), "/in", "/out")
    assert found.policy.url == "/p"


@settings(max_examples=20, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(data=st.data())
def test_nothing_that_a_site_says_breaks_the_files(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    anything = st.text(max_size=30)
    name = st.from_regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}", fullmatch=True)
    outline = Outline(
        title=data.draw(anything),
        contact=data.draw(anything),
        policy="https://a.example/" + data.draw(anything),
        login="https://a.example/" + data.draw(anything),
        logout="https://a.example/" + data.draw(anything),
        remember=data.draw(anything),
    )
    hosts = st.from_regex(
        r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?){0,3}", fullmatch=True
    )
    parties = [party(host) for host in data.draw(st.lists(hosts, max_size=3))]
    parties += [party("x.example", id_) for id_ in data.draw(st.lists(st.sampled_from(sorted(SERVICES)), max_size=3))]
    for each in parties:
        each.pages = ["https://a.example/" + data.draw(anything)]
    cookies = [cookie(each) for each in data.draw(st.lists(name, max_size=3))]
    made = drafted(parties, cookies, outline)
    found = loaded(made, tmp_path_factory.mktemp("draft"))
    assert set(found.trackers.services) == {each.service for each in parties if each.service}
    assert not found.trackers.custom
    necessary = {id_ for id_, state in found.trackers.services.items() if state is State.ALLOW}
    assert all(SERVICES[id_].purpose is Purpose.NECESSARY for id_ in necessary)
    assert max(map(len, made.trackers.splitlines())) < 1000


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("example.com", ["example.com", "www.example.com"]),
        ("www.example.com", ["example.com", "www.example.com"]),
        ("shop.example.com", ["shop.example.com"]),
        ("localhost", ["localhost"]),
        ("127.0.0.1", ["localhost"]),
        ("192.0.2.7", ["192.0.2.7"]),
        ("intranet", ["intranet"]),
    ],
)
def test_names_of_a_site(host: str, names: list[str]) -> None:
    assert site_hosts(host) == names


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("/privacy", "/privacy"),
        ("no", '"no"'),
        ("a: b", '"a: b"'),
        ("a #b", '"a #b"'),
        ("x\ny", '"x\\ny"'),
        ("1e3", '"1e3"'),
        ("", '""'),
        ("ä", '"\\u00e4"'),
    ],
)
def test_texts_in_yaml(text: str, written: str) -> None:
    assert scalar(text) == written


def test_comments_and_places() -> None:
    assert list(comment("a\nb\x1b " + "c" * 120, "  ")) == ["  # a b?", "  #   " + "c" * 120]
    assert places([f"https://a.example/{number}" for number in range(4)]) == "/0, /1 and 2 more"


def test_time_zones(tmp_path: Path) -> None:
    link = tmp_path / "localtime"
    assert timezone({}, link) == "UTC"
    link.symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    assert timezone({}, link) == "Europe/Berlin"
    assert timezone({"TZ": "Asia/Tokyo"}, link) == "Asia/Tokyo"
    assert timezone({"TZ": ":/nowhere"}, link) == "Europe/Berlin"
    assert timezone({"TZ": "No/Where"}, tmp_path / "none") == "UTC"


def test_services_of_all_kinds_can_be_drafted(tmp_path: Path) -> None:
    chosen = sorted(SERVICES)[::10]
    found = loaded(drafted([party("x.example", id_) for id_ in chosen], [], Outline()), tmp_path)
    assert sorted(found.trackers.services) == chosen
