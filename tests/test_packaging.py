"""The wheel: what it carries, and that it serves from an environment of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import hatch_build
from tests.servers import ROOT, free_port, serve_asgi
from tests.sites import SITE, SITE_YAML

COMPILER = shlex.split(os.environ.get("CC", "") or sysconfig.get_config_var("CC") or "cc")[0]
needs_compiler = pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"no C compiler: {COMPILER}")


def build(out: Path, **environ: str) -> tuple[Path, str]:
    """The wheel, and what was said while it was built."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **environ}
    )
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("*.whl")
    return built, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("dist"))[0]


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has the wheel, and the dependencies of this one but not its checkout."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    purelib = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(purelib)
    # Behind the wheel's own folder, so that the wheel is found first; .pth files in there are not followed.
    (purelib / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin" / "python"


def run(python: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), "-P", *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )


def test_it_carries_all_that_is_needed_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "vestibule/py.typed",
        "vestibule/static/banner/banner.css",
        "vestibule/static/banner/banner.js",
        "vestibule/static/banner/locales/de.json",
        "vestibule/static/dashboard/",
        "vestibule/catalogue/country.mmdb",
        "vestibule/catalogue/NOTICE",
        "vestibule/catalogue/services/",
        "vestibule/privacy/templates/banner.html",
        "vestibule/store/schema/0001_counting.sql",
        "vestibule/store/queries/",
    ):
        assert any(name.startswith(needed) for name in names), needed
    assert all(name.startswith(("vestibule/", "vestibule-")) for name in names)
    assert not any("test" in name or "__pycache__" in name or name.endswith(".c") for name in names)


@needs_compiler
def test_the_scanner_is_compiled_and_used(wheel: Path, python: Path, tmp_path: Path) -> None:
    assert "-cp311-abi3-" in wheel.name
    assert "vestibule/core/html/_scanner.abi3.so" in zipfile.ZipFile(wheel).namelist()
    done = run(python, tmp_path, "-c", "from vestibule.core.html.scanner import SCANNER; print(SCANNER is not None)")
    assert done.stdout == "True\n", done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [("VESTIBULE_PURE", "1", "VESTIBULE_PURE asks for that"), ("CC", "nonesuch", "no C compiler: nonesuch")],
)
def test_without_a_compiler_the_wheel_is_pure_and_one_line_says_so(
    variable: str, value: str, reason: str, tmp_path: Path
) -> None:
    built, said = build(tmp_path, **{variable: value})
    assert built.name.endswith("-py3-none-any.whl")
    assert not any(name.endswith((".so", ".c", ".h")) for name in zipfile.ZipFile(built).namelist())
    assert [line for line in said.splitlines() if "scanner" in line] == [
        f"vestibule: built without the compiled scanner: {reason}"
    ]


@needs_compiler
def test_the_scanner_compiles_without_a_warning_and_a_failing_compiler_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [ROOT / hatch_build.FOLDER / name for name in hatch_build.SOURCES]
    command = hatch_build.command(sources, tmp_path / hatch_build.BUILT)
    done = subprocess.run([*command, "-Werror"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    broken = tmp_path / "broken.c"
    broken.write_text("no C", encoding="utf-8")
    target = tmp_path / "target" / hatch_build.BUILT
    target.parent.mkdir()
    with pytest.raises(hatch_build.PureError, match=r"the C compiler failed: .*broken\.c"):
        hatch_build.compile_scanner([broken], target)
    assert list(target.parent.iterdir()) == []


def test_it_is_the_wheel_that_is_used_and_all_parts_are_found(python: Path, tmp_path: Path) -> None:
    code = """
import vestibule, vestibule.assets, vestibule.catalogue
from vestibule.privacy.texts import languages
assert "environment" in vestibule.__file__, vestibule.__file__
assert str(vestibule.assets.static()).startswith(vestibule.__path__[0])
assert {"en", "de"} <= languages()
assert len(vestibule.catalogue.load().services) >= 40
print("found")
"""
    done = run(python, tmp_path, "-c", code)
    assert done.stdout == "found\n", done.stderr


def test_it_checks_and_serves(python: Path, tmp_path: Path) -> None:
    from tests.servers import wait_until

    port, admin = free_port(), free_port()
    (tmp_path / "config").mkdir()
    with serve_asgi(SITE) as upstream:
        text = SITE_YAML.replace("http://127.0.0.1:3000", upstream).replace("chdb:///nowhere", "chdb://store")
        text += f"listen: 127.0.0.1:{port}\ndashboard: {{listen: 127.0.0.1:{admin}}}\n"
        (tmp_path / "config" / "site.yaml").write_text(text, encoding="utf-8")
        assert run(python, tmp_path, "-m", "vestibule", "check").returncode == 0
        log = tmp_path / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(python), "-P", "-m", "vestibule", "serve", "--dev", "--workers", "1"],
                cwd=tmp_path,
                stdout=output,
                stderr=output,
            )
        try:
            from urllib.request import Request, urlopen

            def page() -> bytes:
                request = Request(f"http://127.0.0.1:{port}/page", headers={"Accept": "text/html"})
                try:
                    with urlopen(request, timeout=5) as answer:
                        body: bytes = answer.read()
                        return body
                except OSError:  # the listener may be there before the worker is
                    return b""

            wait_until(lambda: b'id="vestibule"' in page(), "the banner", 60)
            assert b' src="https://www.youtube.com' not in page()
        finally:
            process.terminate()
            process.wait(timeout=60)


def test_without_the_extra_an_embedded_store_is_one_clear_line(python: Path, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    site = SITE_YAML.replace("chdb:///nowhere", f"chdb://{tmp_path}/store")
    (tmp_path / "config" / "site.yaml").write_text(site, encoding="utf-8")
    # An entry of None in sys.modules is how Python says that a module cannot be imported.
    code = (
        "import sys; sys.modules['chdb'] = None; sys.argv[1:] = ['migrate', '--config', 'config', '--state', 'state'];"
        "import os; os.environ['VESTIBULE_SECRET'] = 'a secret for tests'; from vestibule.cli import main; main()"
    )
    done = run(python, tmp_path, "-c", code)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert [line for line in done.stderr.splitlines() if "vestibule[embedded]" in line] == done.stderr.splitlines()
