"""Consent receipts: what they say, who can check them, and what is noticed."""

from __future__ import annotations

import base64
import copy
import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tests.servers import ROOT
from tests.sites import SECRET, SITE_YAML, Front, configured, front
from vestibule.core.receipts import Facts, Grant, ReceiptError, ReceiptSigner, compose, verify

FACTS = Facts(
    site="relaso.com",
    origin="https://relaso.com",
    record="r4nd0m",
    time=1_790_000_000 - 1_790_000_000 % 3600,
    keep_for=180 * 86_400,
    revision="2024-10-29",
    notice="https://relaso.com/privacy",
    contact="legal@relaso.com",
    language="en",
    surface="banner",
    texts="0123456789abcdef",
    signal="",
    grants=(
        Grant("statistics", "Statistics", "Measures.", (("Counter", "Counter Ltd", "IE", "https://c.example/p"),)),
    ),
    refused=("preferences", "marketing"),
)
SIGNER = ReceiptSigner(["a secret of the site", "an older one"], "relaso.com")
RECEIPT = compose(FACTS)
SIGNED = SIGNER.sign(RECEIPT)


def test_it_has_the_fields_of_the_standard() -> None:
    """ISO/IEC TS 27560:2023, clauses 6.3.3 to 6.3.7: header, processing, parties, events, with all that are mandatory
    there (as listed in W3C DPVCG, "Consent records and receipts with DPV and ISO/IEC TS 27560")."""
    assert RECEIPT["schema_version"].startswith("ISO/IEC TS 27560")
    assert {"record_id", "receipt_id", "pii_principal_id", "pii_processing", "parties", "events"} <= RECEIPT.keys()
    processing = RECEIPT["pii_processing"]
    assert processing["privacy_notice"]["version"] == "2024-10-29"
    (purpose,) = processing["purposes"]
    assert purpose.keys() >= {
        "purpose", "purpose_type", "lawful_basis", "pii_information", "pii_controllers", "collection_method",
        "processing_method", "storage_locations", "retention_period", "jurisdiction", "services",
        "recipient_third_parties", "withdrawal_method", "privacy_rights",
    }  # fmt: skip
    assert all({"pii_type", "pii_optional"} <= each.keys() for each in purpose["pii_information"])
    assert (purpose["lawful_basis"], purpose["services"], purpose["storage_locations"]) == (
        "consent",
        ["Counter"],
        ["IE"],
    )
    (party,) = RECEIPT["parties"]
    assert party.keys() >= {"party_id", "party_name", "party_address", "party_contact", "party_type"}
    assert (party["party_role"], purpose["pii_controllers"]) == ("pii_controller", [party["party_id"]])
    (event,) = RECEIPT["events"]
    assert event.keys() >= {"event_time", "validity_duration", "entity_id", "event_type", "event_state"}
    assert (event["validity_duration"], event["event_state"]) == ("P180D", "given")


def test_it_says_which_signal_it_goes_before() -> None:
    receipt = compose(dataclasses.replace(FACTS, signal="gpc"))
    assert receipt["events"][0]["overridden_signal"] == "gpc"
    assert "overridden_signal" not in RECEIPT["events"][0]


def test_it_is_a_json_web_signature() -> None:
    """RFC 7515, section 7.2.2, with the algorithm of RFC 8037; checked here without our own code."""
    (key, _) = SIGNER.key_set()["keys"]
    header = json.loads(unpadded(SIGNED["protected"]))
    assert header == {"alg": "EdDSA", "kid": key["kid"], "typ": "consent-receipt+json"}
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("OKP", "Ed25519", "EdDSA", "sig")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    public = Ed25519PublicKey.from_public_bytes(unpadded(key["x"]))
    public.verify(unpadded(SIGNED["signature"]), f"{SIGNED['protected']}.{SIGNED['payload']}".encode())
    assert json.loads(unpadded(SIGNED["payload"])) == RECEIPT


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_whoever_has_the_keys_can_check_it() -> None:
    assert verify(json.dumps(SIGNED), SIGNER.key_set()) == RECEIPT


def test_old_receipts_hold_as_long_as_their_secret_is_listed() -> None:
    older = ReceiptSigner(["an older one"], "relaso.com")
    text = json.dumps(older.sign(RECEIPT))
    assert verify(text, SIGNER.key_set()) == RECEIPT
    with pytest.raises(ReceiptError, match="none of these keys"):
        verify(text, ReceiptSigner(["a secret of the site"], "relaso.com").key_set())


def test_a_key_is_of_one_site() -> None:
    with pytest.raises(ReceiptError, match="none of these keys"):
        verify(json.dumps(SIGNED), ReceiptSigner(["a secret of the site"], "other.example").key_set())


def changed(**parts: Any) -> str:
    return json.dumps({**copy.deepcopy(SIGNED), **parts})


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


FORGER = Ed25519PrivateKey.from_private_bytes(b"x" * 32)
FORGED_KEY = base64.urlsafe_b64encode(FORGER.public_key().public_bytes_raw()).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "{" * 10_000,
        "x" * 300_000,
        '{"protected": "é", "payload": "é", "signature": "é"}',
        changed(payload=encoded({**RECEIPT, "record_id": "other"})),
        changed(receipt={**RECEIPT, "record_id": "other"}),
        changed(signature=SIGNED["signature"][:-4] + "AAAA"),
        changed(signature=""),
        changed(signature=None),
        changed(protected=encoded({"alg": "none", "typ": "consent-receipt+json"})),
        changed(protected=encoded({"alg": "HS256", "kid": SIGNER.key_set()["keys"][0]["kid"]})),
        changed(protected=encoded({"alg": "EdDSA", "typ": "consent-receipt+json", "crit": ["b64"], "b64": False})),
        changed(protected=encoded({"alg": "EdDSA", "typ": "JWT", "kid": SIGNER.key_set()["keys"][0]["kid"]})),
        changed(protected=encoded({"alg": "EdDSA", "typ": "consent-receipt+json", "jwk": {"x": FORGED_KEY}})),
    ],
)
def test_what_was_changed_is_not_believed(text: str) -> None:
    with pytest.raises(ReceiptError):
        verify(text, SIGNER.key_set())


@given(st.integers(0, len(SIGNED["payload"]) - 1), st.sampled_from("AQgw_-9"))
def test_no_character_can_be_changed(index: int, other: str) -> None:
    payload = SIGNED["payload"]
    if payload[index] != other:
        with pytest.raises(ReceiptError):
            verify(changed(payload=payload[:index] + other + payload[index + 1 :]), SIGNER.key_set())


@pytest.mark.parametrize(
    "keys", [None, {}, {"keys": None}, {"keys": [None]}, {"keys": [{"kty": "OKP", "crv": "Ed25519"}]}]
)
def test_a_key_set_that_is_none_checks_nothing(keys: object) -> None:
    with pytest.raises(ReceiptError):
        verify(json.dumps(SIGNED), keys)


# -- from the site -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("receipts")
    with front("middleware", configured(folder), folder / "state") as running:
        yield running


def test_a_visitor_downloads_the_receipt_and_anyone_can_check_it(site: Front) -> None:
    answer = site.ask("/_privacy/receipt", site.choice("save&purpose=statistics"))
    assert answer.status == 200
    assert answer.get("content-disposition") == 'attachment; filename="consent-receipt.json"'
    assert answer.get("cache-control") == "no-store"
    keys = json.loads(site.ask("/.well-known/vestibule.json").body)
    receipt = verify(answer.body, keys)
    record = site.recording.records[-1]
    assert receipt["record_id"] == record["id"]
    (purpose,) = receipt["pii_processing"]["purposes"]
    assert (purpose["purpose_type"], purpose["services"]) == ("statistics", ["Google Analytics"])
    assert receipt["pii_processing"]["purposes_refused"] == ["preferences", "marketing"]
    assert str(record["texts"]).startswith(receipt["pii_processing"]["privacy_notice"]["digest"])


def test_the_receipt_is_in_the_language_that_it_was_asked_in(site: Front) -> None:
    cookie = site.post("/_privacy/consent", "choice=accept", ("Accept-Language", "de")).all("set-cookie")[0]
    receipt = json.loads(site.ask("/_privacy/receipt", ("Cookie", cookie.partition(";")[0])).body)["receipt"]
    assert receipt["pii_processing"]["language"] == "de"
    assert receipt["pii_processing"]["purposes"][0]["purpose"] == "Komfort"


def test_without_consent_there_is_no_receipt(site: Front) -> None:
    assert site.ask("/_privacy/receipt").status == 404
    assert site.ask("/_privacy/receipt", site.choice("reject")).status == 404


def test_the_key_set_is_for_everyone(site: Front) -> None:
    answer = site.ask("/.well-known/vestibule.json")
    assert answer.get("access-control-allow-origin") == "*"
    assert "d" not in json.loads(answer.body)["keys"][0], "the private part"


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "status"), [("secret", 0), ("keys", 0), ("other", 1), ("changed", 1), ("nowhere", 1)])
def test_the_command_tells_a_true_receipt(tmp_path: Path, how: str, status: int) -> None:
    configured(tmp_path, SITE_YAML)
    signer = ReceiptSigner([SECRET], "relaso.com")
    file, keys = tmp_path / "receipt.json", tmp_path / "keys.json"
    file.write_text(json.dumps(signer.sign(RECEIPT)).replace("r4nd0m", "other" if how == "changed" else "r4nd0m"))
    keys.write_text(json.dumps(signer.key_set()))
    given = ["--keys", str(keys)] if how in ("keys", "changed") else []
    given = ["--keys", str(tmp_path / "none.json")] if how == "nowhere" else given
    secret = SECRET if how == "secret" else "quite another secret"
    done = subprocess.run(
        [sys.executable, "-m", "vestibule", "verify-receipt", str(file), "--config", str(tmp_path), *given],
        env={"PATH": "", "VESTIBULE_SECRET": secret, "PYTHONPATH": str(ROOT / "proxy")},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert (b"r4nd0m" in done.stdout) is (status == 0)
