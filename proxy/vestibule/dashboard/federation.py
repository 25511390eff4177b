"""The pages of signing in by a provider: going there, and coming back."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from vestibule.dashboard.guard import local_path
from vestibule.dashboard.oidc import CALLBACK, PATIENCE, Provider, ProviderError
from vestibule.dashboard.staff import Staff
from vestibule.dashboard.templates import Templates


class Federation:
    def __init__(self, provider: Provider, staff: Staff, templates: Templates) -> None:
        self._provider = provider
        self._staff = staff
        self._templates = templates

    async def begin(self, request: Request) -> Response:
        """Send somebody to the provider."""
        try:
            address, journey = await self._provider.begin(local_path(request.query_params.get("next", "/")))
        except ProviderError as error:
            return self._refused(request, 502, error)
        response = RedirectResponse(address, status_code=303)
        # Lax: they come back from another site.
        response.set_cookie(
            _cookie(request),
            journey,
            max_age=PATIENCE,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
            path=CALLBACK,
        )
        return response

    async def finish(self, request: Request) -> Response:
        """Let somebody in whom the provider vouches for."""
        try:
            member, target = await self._provider.finish(
                dict(request.query_params), request.cookies.get(_cookie(request), "")
            )
        except ProviderError as error:
            return self._refused(request, 403, error)
        # A page and no redirect: the session's cookie is not sent on a way that another site began.
        response = self._templates.page("arrived.html", request, target=target)
        self._staff.begin_vouched(request, response, member, self._provider.fingerprint)
        response.delete_cookie(_cookie(request), path=CALLBACK)
        return response

    def _refused(self, request: Request, status: int, error: ProviderError) -> Response:
        words = request.state.words
        return self._templates.message(request, status, words("Not signed in"), words(str(error)))


def _cookie(request: Request) -> str:
    return "__Secure-vestibule-oidc" if request.url.scheme == "https" else "vestibule-oidc"
