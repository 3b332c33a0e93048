"""`/`: the page on which a person tries the service. Its files are in service/web, as they are."""

from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from ..core.responses import CSP

WEB = Path(__file__).parent.parent / "web"
HEADERS = {
    CSP: (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        " img-src 'self' blob:; media-src blob:; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}


def install(app: FastAPI) -> None:
    """Adds the page and its files: no API key is needed, and OpenAPI does not list them."""
    page = (WEB / "index.html").read_bytes()

    async def index(_: Request) -> Response:
        return Response(page, headers=HEADERS, media_type="text/html")

    app.add_route("/", index, include_in_schema=False)
    app.mount("/web", StaticFiles(directory=WEB))
