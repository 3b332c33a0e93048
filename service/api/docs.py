"""Swagger UI at /docs, served from an installed package: no CDN."""

import base64
import hashlib
import re

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from ..core.responses import CSP

FILES = "/docs/files"


def install(app: FastAPI) -> None:
    """Replaces FastAPI's own page, which loads its scripts from a CDN."""
    page = bytes(
        get_swagger_ui_html(
            openapi_url=app.openapi_url or "",
            title=app.title,
            swagger_js_url=f"{FILES}/swagger-ui-bundle.js",
            swagger_css_url=f"{FILES}/swagger-ui.css",
            swagger_favicon_url=f"{FILES}/favicon.png",
        ).body
    )
    (script,) = re.findall(rb"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    # Swagger UI writes styles into its elements and has its icons in its style sheet.
    policy = (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; connect-src 'self';"
        " style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    )

    async def docs(_: Request) -> Response:
        return Response(page, headers={CSP: policy}, media_type="text/html")

    app.add_route("/docs", docs, include_in_schema=False)
    app.mount(FILES, StaticFiles(packages=[("fastapi_offline", "static")]))
