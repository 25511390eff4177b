"""A real provider of OpenID Connect on loopback, of Authlib's server side; whoever comes is the one it expects.

It signs everybody in without asking; codes, PKCE, tokens, their signatures and claims are as in any provider.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, grants
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import UserInfo
from authlib.oidc.core.grants import OpenIDCode
from flask import Flask, jsonify, request
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from werkzeug.serving import make_server

# It is on loopback, where plain http is as good as any.
os.environ.setdefault("AUTHLIB_INSECURE_TRANSPORT", "1")

CLIENT, SECRET = "vestibule", "the client's secret"


@functools.cache
def key(name: str) -> RSAKey:
    """The key of a name; made once, since that takes a while."""
    return RSAKey.generate_key(2048, {"kid": name, "use": "sig"})


@dataclass
class Client(ClientMixin):  # type: ignore[misc]
    redirects: list[str]

    def get_client_id(self) -> str:
        return CLIENT

    def get_default_redirect_uri(self) -> str:
        return self.redirects[0]

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.redirects

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class Code(AuthorizationCodeMixin):  # type: ignore[misc]
    code: str
    redirect: str
    scope: str
    nonce: str
    user: dict[str, Any]
    code_challenge: str
    code_challenge_method: str

    def get_redirect_uri(self) -> str:
        return self.redirect

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str:
        return self.nonce

    def get_auth_time(self) -> int:
        return int(time.time())

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


@dataclass
class House:
    """What the tests change. user: the claims of whoever comes. in_token: whether all claims are in the ID token, or
    only at the user-info endpoint. spoil: changes a token's claims before they are signed. key: signs."""

    user: dict[str, Any]
    url: str = ""
    in_token: bool = True
    spoil: dict[str, Any] = field(default_factory=dict)
    key: RSAKey = field(default_factory=lambda: key("one"))
    shown: RSAKey | None = None
    issuer: str = ""
    codes: dict[str, Code] = field(default_factory=dict)


@contextlib.contextmanager
def provider(redirect: str, user: dict[str, Any]) -> Iterator[House]:
    house = House(user)
    server = make_server("127.0.0.1", 0, application(house, redirect), threaded=True)
    house.url = house.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield house
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def application(house: House, redirect: str) -> Flask:
    app = Flask("provider")
    client = Client([redirect])
    tokens: dict[str, dict[str, Any]] = {}
    server = AuthorizationServer(
        app,
        query_client=lambda client_id: client if client_id == CLIENT else None,
        save_token=lambda token, asked: tokens.update({token["access_token"]: dict(asked.user)}),
    )

    class CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
        TOKEN_ENDPOINT_AUTH_METHODS: ClassVar = ["client_secret_basic"]

        def save_authorization_code(self, code: str, asked: Any) -> Code:
            data = asked.payload.data
            house.codes[code] = Code(
                code,
                asked.payload.redirect_uri,
                asked.payload.scope,
                data.get("nonce", ""),
                dict(asked.user),
                data.get("code_challenge", ""),
                data.get("code_challenge_method", ""),
            )
            return house.codes[code]

        def query_authorization_code(self, code: str, client: Client) -> Code | None:
            return house.codes.get(code)

        def delete_authorization_code(self, authorization_code: Code) -> None:
            del house.codes[authorization_code.code]

        def authenticate_user(self, authorization_code: Code) -> dict[str, Any]:
            return authorization_code.user

    class Connect(OpenIDCode):  # type: ignore[misc]
        def exists_nonce(self, nonce: str, asked: Any) -> bool:
            return False

        def generate_user_info(self, user: dict[str, Any], scope: str) -> UserInfo:
            return UserInfo(user)

        def encode_id_token(self, token: Any, asked: Any) -> str:
            now = int(time.time())
            claims = {"iss": house.issuer, "aud": [CLIENT], "iat": now, "exp": now + 300}
            claims |= self.get_authorization_code_claims(asked.authorization_code)
            claims |= dict(asked.user) if house.in_token else {"sub": asked.user["sub"]}
            claims |= house.spoil
            return jwt.encode({"alg": "RS256", "kid": house.key.kid}, claims, house.key, ["RS256"])

    server.register_grant(CodeGrant, [Connect(require_nonce=True), CodeChallenge(required=True)])

    @app.get("/.well-known/openid-configuration")
    def described() -> Any:
        return jsonify(
            issuer=house.issuer,
            authorization_endpoint=f"{house.url}/authorize",
            token_endpoint=f"{house.url}/token",
            userinfo_endpoint=f"{house.url}/userinfo",
            jwks_uri=f"{house.url}/keys",
        )

    @app.get("/authorize")
    def authorize() -> Any:
        return server.create_authorization_response(
            grant=server.get_consent_grant(end_user=house.user), grant_user=house.user
        )

    @app.post("/token")
    def token() -> Any:
        return server.create_token_response()

    @app.get("/keys")
    def keys() -> Any:
        return jsonify(KeySet([house.shown or house.key]).as_dict(private=False))

    @app.get("/userinfo")
    def userinfo() -> Any:
        return jsonify(tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "), {}))

    return app
