"""Signing in by OpenID Connect: the authorization code flow with PKCE (OpenID Connect Core 1.0, section 3.1; RFC 7636).

Whoever the provider vouches for gets a role by one claim, and no account here: nothing of them is stored. What the
provider says is believed only where its signature, issuer, audience, time and nonce are right; everything else, and
every trouble on the way, lets nobody in.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from itsdangerous import BadData, URLSafeSerializer
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from vestibule.core.errors import VestibuleError
from vestibule.dashboard.backend import Role
from vestibule.dashboard.guard import local_path
from vestibule.dashboard.settings import Oidc
from vestibule.dashboard.staff import Member
from vestibule.dashboard.values import visible

CALLBACK = "/login/oidc/callback"
SCOPE = "openid profile email"
PATIENCE = 600
"""Seconds from leaving for the provider to coming back."""
TIMEOUT = 5.0
LARGEST_ANSWER = 1 << 20
REMEMBERED = 3600.0
"""Seconds for which the provider's own description and keys are taken as they were."""
AGAIN = 30.0
"""Seconds between two looks for a key that is not known."""
LEEWAY = 60
LONGEST_NAME = 64
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
"""None that a secret shared with others could sign by."""

Answer = dict[str, Any]


class ProviderError(VestibuleError):
    """The provider does not answer, or not as it should; the message is for people and holds nothing of its answer."""


@dataclass(frozen=True, slots=True)
class Journey:
    """What must be known again when somebody comes back. target: where they wanted to go."""

    state: str
    nonce: str
    verifier: str
    target: str


class Provider:
    """One provider. ``secrets_``: the deployment's, newest first. ``clock``: seconds since the epoch."""

    def __init__(self, settings: Oidc, secrets_: Sequence[str], site: str, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._serializer = URLSafeSerializer(
            list(reversed(secrets_)),
            salt=f"vestibule.oidc:{site}",
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )
        self._known: dict[str, tuple[float, Answer]] = {}

    @property
    def fingerprint(self) -> str:
        """What changes with the settings, so that a session is of these only."""
        known = self._settings
        roles = sorted((role.value, sorted(values)) for role, values in known.roles.items())
        text = json.dumps([known.issuer, known.client_id, known.claim, roles])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    async def begin(self, target: str) -> tuple[str, str]:
        """Return where to send somebody, and the cookie that they must bring back. Raises ProviderError."""
        journey = Journey(
            secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48), local_path(target)
        )
        address = prepare_grant_uri(
            self._text(await self._description(), "authorization_endpoint"),
            self._settings.client_id,
            "code",
            redirect_uri=self._redirect,
            scope=SCOPE,
            state=journey.state,
            nonce=journey.nonce,
            code_challenge=create_s256_code_challenge(journey.verifier),
            code_challenge_method="S256",
        )
        raw = [journey.state, journey.nonce, journey.verifier, journey.target, int(self._clock())]
        return str(address), str(self._serializer.dumps(raw))

    async def finish(self, query: Mapping[str, str], cookie: str) -> tuple[Member, str]:
        """Return who came back, and where they wanted to go. Raises ProviderError."""
        journey = self._journey(cookie)
        if not hmac.compare_digest(query.get("state", "").encode(), journey.state.encode()):
            raise ProviderError("This sign-in was not begun here, or long ago. Please begin again.")
        # RFC 9207: which provider answers, where several could.
        if query.get("iss", self._settings.issuer) != self._settings.issuer or query.get("error"):
            raise ProviderError("The provider did not let you in.")
        description = await self._description()
        token = await self._exchange(description, query.get("code", ""), journey.verifier)
        claims = await self._claims(description, token, journey.nonce)
        role = self._role(claims)
        if role is None:
            raise ProviderError("The provider knows you, and you have no role here. Ask whoever runs the dashboard.")
        return Member(f"oidc:{_name(claims)}", role.value), journey.target

    @property
    def _redirect(self) -> str:
        return self._settings.url.rstrip("/") + CALLBACK

    def _journey(self, cookie: str) -> Journey:
        try:
            raw = self._serializer.loads(cookie[:8192])
        except BadData:
            raw = None
        match raw:
            case [str(state), str(nonce), str(verifier), str(target), int(begun)] if (
                0 <= self._clock() - begun < PATIENCE
            ):
                return Journey(state, nonce, verifier, local_path(target))
        raise ProviderError("This sign-in was not begun here, or long ago. Please begin again.")

    async def _exchange(self, description: Answer, code: str, verifier: str) -> Answer:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect,
            "code_verifier": verifier,
        }
        methods = description.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        headers = {}
        if isinstance(methods, list) and "client_secret_basic" not in methods:
            form |= {"client_id": self._settings.client_id, "client_secret": self._settings.secret}
        else:
            # RFC 6749, section 2.3.1: both are form-encoded first.
            pair = f"{quote(self._settings.client_id, safe='')}:{quote(self._settings.secret, safe='')}"
            headers["Authorization"] = "Basic " + b64encode(pair.encode()).decode()
        return await self._fetch(self._text(description, "token_endpoint"), headers, form)

    async def _claims(self, description: Answer, token: Answer, nonce: str) -> Mapping[str, Any]:
        """The claims of an ID token that is right in every respect, and where the deciding one is not in it, those of
        the provider's user-info endpoint."""
        claims: Mapping[str, Any] = await self._verified(description, self._text(token, "id_token"), token, nonce)
        if self._settings.claim in claims or "userinfo_endpoint" not in description:
            return claims
        headers = {"Authorization": "Bearer " + self._text(token, "access_token")}
        more = await self._fetch(self._text(description, "userinfo_endpoint"), headers)
        if more.get("sub") != claims["sub"]:
            raise ProviderError("The provider's answer is not right.")
        return {**more, **claims}

    async def _verified(self, description: Answer, encoded: str, token: Answer, nonce: str) -> CodeIDToken:
        decoded = None
        for anew in (False, True):
            try:
                keys = KeySet.import_key_set(await self._keys(description, anew=anew))  # type: ignore[arg-type]
                decoded = jwt.decode(encoded, keys, algorithms=list(ALGORITHMS))
                break
            except (JoseError, ValueError, KeyError, TypeError):
                continue
        if decoded is None:
            raise ProviderError("The provider's answer is not signed by it.")
        claims = CodeIDToken(
            decoded.claims,
            decoded.header,
            options={"iss": {"value": self._settings.issuer}, "aud": {"value": self._settings.client_id}},
            params={
                "nonce": nonce,
                "client_id": self._settings.client_id,
                "access_token": token.get("access_token"),
            },
        )
        try:
            claims.validate(now=int(self._clock()), leeway=LEEWAY)
        except Exception as error:  # Whatever is wrong with them, nobody is let in.
            raise ProviderError("The provider's answer is not right.") from error
        if not isinstance(claims["sub"], str) or not claims["sub"]:
            raise ProviderError("The provider's answer is not right.")
        return claims

    def _role(self, claims: Mapping[str, Any]) -> Role | None:
        """The highest role that the claim's values have."""
        claim = self._settings.claim
        if claim == "email" and claims.get("email_verified") is not True:
            return None
        found = claims.get(claim)
        values = {each for each in (found if isinstance(found, list) else [found]) if isinstance(each, str)}
        held = [role for role in Role if values.intersection(self._settings.roles.get(role, ()))]
        return held[-1] if held else None

    async def _description(self) -> Answer:
        """The provider's metadata (OpenID Connect Discovery 1.0, section 4)."""
        found = await self._remembered(self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if found.get("issuer") != self._settings.issuer:
            raise ProviderError("The provider names itself otherwise than dashboard.oidc.issuer does.")
        return found

    async def _keys(self, description: Answer, *, anew: bool) -> Answer:
        address = self._text(description, "jwks_uri")
        read, _ = self._known.get(address, (0.0, {}))
        if anew and self._clock() - read >= AGAIN:
            self._known.pop(address, None)
        return await self._remembered(address)

    async def _remembered(self, address: str) -> Answer:
        read, found = self._known.get(address, (0.0, {}))
        if not found or not 0 <= self._clock() - read < REMEMBERED:
            found = await self._fetch(address)
            self._known[address] = (self._clock(), found)
        return found

    async def _fetch(
        self, address: str, headers: Mapping[str, str] | None = None, form: Mapping[str, str] | None = None
    ) -> Answer:
        return await asyncio.to_thread(_fetched, address, dict(headers or {}), form)

    @staticmethod
    def _text(found: Mapping[str, Any], name: str) -> str:
        value = found.get(name)
        if not isinstance(value, str) or not value:
            raise ProviderError("The provider's answer is not right.")
        return value


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A provider's own addresses don't lead elsewhere, least of all with the client's secret."""

    def redirect_request(self, *_: Any) -> NoReturn:
        raise urllib.error.URLError("redirect")


def _fetched(address: str, headers: dict[str, str], form: Mapping[str, str] | None) -> Answer:
    """Ask for a JSON object. Raises ProviderError."""
    if not address.startswith(("https://", "http://")):
        raise ProviderError("The provider's answer is not right.")
    data = urlencode(form).encode() if form is not None else None
    request = urllib.request.Request(address, data, {**headers, "Accept": "application/json"})  # noqa: S310
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT) as answer:
            found = json.loads(answer.read(LARGEST_ANSWER))
    except (OSError, ValueError) as error:
        raise ProviderError("The provider does not answer as it should. Please try again in a moment.") from error
    if not isinstance(found, dict):
        raise ProviderError("The provider's answer is not right.")
    return found


def _name(claims: Mapping[str, Any]) -> str:
    """What colleagues call somebody: the address that the provider has verified, else a name there."""
    email = claims.get("email") if claims.get("email_verified") is True else None
    name = next((str(each) for each in (email, claims.get("preferred_username")) if each), str(claims["sub"]))
    return visible(name, LONGEST_NAME)
