"""What every answer tells a browser not to do with it. Programs do not ask."""

# Detections are of somebody's picture: no cache keeps them. Nothing here is a page, and the one
# that is, /docs, brings a policy of its own.
EVERY = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
POLICY = "Content-Security-Policy"
NO_PAGE = "default-src 'none'; frame-ancestors 'none'"

EVERY_RAW = [(name.lower().encode(), value.encode()) for name, value in EVERY.items()]
