"""The JSON Schemas for editors: fresh, true to what is accepted, and named in the files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from vestibule import catalogue, config
from vestibule.config import schema
from vestibule.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (ROOT / "config", ROOT / "demo" / "config")
SITE = "site: {name: x, hosts: [x.example], upstream: 'http://127.0.0.1:3000'}\n"


@pytest.mark.parametrize("name", [*schema.FILES, *schema.FURTHER])
def test_the_shipped_schemas_are_fresh(name: str) -> None:
    shipped = (ROOT / "config" / "schema" / f"{name}.json").read_text("utf-8")
    assert shipped == schema.text(name), "make schema"


@pytest.mark.parametrize("folder", FOLDERS, ids=["config", "demo"])
@pytest.mark.parametrize("name", schema.FILES)
def test_files_name_their_schema(folder: Path, name: str) -> None:
    first = (folder / f"{name}.yaml").read_text("utf-8").partition("\n")[0]
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert named is not None
    assert (folder / named[1]).resolve() == ROOT / "config" / "schema" / f"{name}.json"


def test_every_setting_is_in_it_with_its_meaning() -> None:
    made = schema.schema("site")
    for definition in (made, *made["$defs"].values()):
        for name, setting in definition.get("properties", {}).items():
            assert setting.get("description") or "$ref" in setting, name
        if definition.get("type") == "object":
            assert definition["additionalProperties"] is False
    assert made["required"] == ["site"]
    assert made["$defs"]["Analytics"]["properties"]["live_every"]["default"] == "15m"
    assert made["$defs"]["Limits"]["properties"]["spool"]["default"] == "1GiB"


def test_editors_complete_names_of_services() -> None:
    names = schema.schema("trackers")["properties"]["services"]["propertyNames"]["anyOf"][0]["enum"]
    assert names == sorted(catalogue.ids())


@pytest.mark.parametrize("folder", FOLDERS, ids=["config", "demo"])
@pytest.mark.parametrize("name", schema.FILES)
def test_shipped_files_keep_to_it(folder: Path, name: str) -> None:
    assert faults(name, (folder / f"{name}.yaml").read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("site", "mode: sometimes", "mode"),
        ("site", "mood: good", "mood"),
        ("site", "consent: {keep_for: 180}", "consent.keep_for"),
        ("site", "consent: {keep_for: 180 days}", ""),
        ("site", "consent: {minimum_age: 40}", "consent.minimum_age"),
        ("site", "limits: {body_bytes: 10MB, header_bytes: 4096}", ""),
        ("site", "limits: {body_bytes: 10 miles}", "limits.body_bytes"),
        ("site", "access_log: off", ""),
        ("site", "access_log: log.txt", "access_log"),
        ("site", "geoip: null", ""),
        ("site", "site: {name: x, hosts: [], upstream: 'http://x'}", "site.hosts"),
        ("trackers", "unknown: perhaps", "unknown"),
        ("trackers", "services: {hotjar: ask, own-thing: block}", ""),
        ("trackers", "services: {Hotjar: perhaps}", "services.Hotjar"),
        ("trackers", "custom: {x: {hosts: [x.example]}}", "custom.x"),
    ],
)
def test_it_says_what_check_says(name: str, text: str, fault: str, tmp_path: Path) -> None:
    whole = text if name == "trackers" or text.startswith("site:") else SITE + text
    assert bool(faults(name, whole)) is bool(fault)
    assert not fault or fault in " ".join(faults(name, whole))
    (tmp_path / "site.yaml").write_text(whole if name == "site" else SITE)
    if name == "trackers":
        text = (
            text.replace("}", "}\ncustom: {own-thing: {hosts: [o.example], purpose: marketing}}") if not fault else text
        )
        (tmp_path / "trackers.yaml").write_text(text)
    if fault:
        with pytest.raises(ConfigError):
            config.load(tmp_path, {})
    else:
        config.load(tmp_path, {})


def test_they_are_written_where_they_are_wanted(tmp_path: Path) -> None:
    schema.write(tmp_path / "schema")
    written = {str(file.relative_to(tmp_path / "schema")) for file in (tmp_path / "schema").rglob("*.json")}
    assert written == {"site.json", "trackers.json", "sites/site.json", "sites/trackers.json"}
    json.loads((tmp_path / "schema" / "site.json").read_text("utf-8"))


# A reader of the few words that these schemas use


def faults(name: str, text: str) -> list[str]:
    """The settings of a YAML text that its schema does not allow."""
    made = schema.schema(name)
    return list(_faults(made, YAML(typ="safe").load(text), made, ""))


def _faults(part: dict[str, Any], value: Any, whole: dict[str, Any], path: str) -> list[str]:
    known = {"$ref", "anyOf", "type", "enum", "const", "pattern", "properties", "required", "additionalProperties"}
    known |= {"items", "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties", "format"}
    known |= {"minimum", "maximum", "exclusiveMinimum", "propertyNames", "description", "default", "title", "$defs"}
    assert part.keys() <= known | {"$schema"}, part.keys() - known
    if "$ref" in part:
        return _faults(whole["$defs"][part["$ref"].rpartition("/")[2]], value, whole, path)
    if "anyOf" in part and all(_faults(each, value, whole, path) for each in part["anyOf"]):
        return [path]
    types: dict[str, Any] = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    types["null"] = type(None)
    wanted = part.get("type")
    if wanted == "string" and part.get("format") == "date":
        return []
    if wanted and (not isinstance(value, types[wanted]) or (wanted == "integer" and isinstance(value, bool))):
        return [path]
    if "enum" in part and value not in part["enum"]:
        return [path]
    if "pattern" in part and not re.search(part["pattern"], value):
        return [path]
    if isinstance(value, int) and not part.get("minimum", value) <= value <= part.get("maximum", value):
        return [path]
    if isinstance(value, list | str | dict) and len(value) < part.get(
        {"list": "minItems", "str": "minLength"}.get(type(value).__name__, "minProperties"), 0
    ):
        return [path]
    found: list[str] = []
    if isinstance(value, list) and "items" in part:
        for index, each in enumerate(value):
            found += _faults(part["items"], each, whole, f"{path}.{index}")
    if isinstance(value, dict):
        found += [path for name in part.get("required", ()) if name not in value]
        for key, each in value.items():
            here = f"{path}.{key}".strip(".")
            if "propertyNames" in part and _faults(part["propertyNames"], key, whole, here):
                found.append(here)
            below = part.get("properties", {}).get(key, part.get("additionalProperties", True))
            found += [here] if below is False else [] if below is True else _faults(below, each, whole, here)
    return found
