"""A stranger to the service: it speaks HTTP to a URL, and imports nothing of ours."""
