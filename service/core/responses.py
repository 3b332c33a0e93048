"""What every response carries: security headers, and for errors RFC 9457's problem document."""

from typing import Any

# Responses describe a caller's image: no cache may store them. None is a page except /docs, which
# sets a policy of its own.
SECURITY_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
CSP = "Content-Security-Policy"
CSP_DENY_ALL = "default-src 'none'; frame-ancestors 'none'"

CSP_RAW = CSP.lower().encode()
CSP_DENY_ALL_RAW = (CSP_RAW, CSP_DENY_ALL.encode())
SECURITY_HEADERS_RAW = [(k.lower().encode(), v.encode()) for k, v in SECURITY_HEADERS.items()]

MODEL_VERSION = "X-Model-Version"  # of a request: the version it asks for; of a response: its own

PROBLEM_MEDIA_TYPE = "application/problem+json"


def problem_document(request_id: str, status: int, kind: str, detail: str) -> dict[str, Any]:
    """`kind` is the last part of the problem's type, in lower case with dashes."""
    return {
        "type": f"urn:problem:{kind}",
        "title": kind.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
        "request_id": request_id,
    }
