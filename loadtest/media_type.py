"""What a picture is sent as."""


def media_type(picture: bytes) -> str:
    """By the first bytes, for names lie. What is none of the three the service will refuse."""
    if picture.startswith(b"\x89PNG"):
        return "image/png"
    return "image/webp" if picture[8:12] == b"WEBP" else "image/jpeg"
