"""Python client of the detection service.

>>> from detect_client import Client
>>> with Client("http://localhost:8000") as client:
...     for detection in client.detect("street.jpg").detections:
...         print(detection.label, detection.score, detection.box)
"""

from .async_client import AsyncClient
from .client import Client
from .errors import (
    ConnectionFailed,
    DeadlineExceeded,
    DetectError,
    InvalidParameter,
    InvalidPicture,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
)
from .results import Box, Detection, Model, Result

__version__ = "0.1.0"
__all__ = [
    "AsyncClient",
    "Box",
    "Client",
    "ConnectionFailed",
    "DeadlineExceeded",
    "DetectError",
    "Detection",
    "InvalidParameter",
    "InvalidPicture",
    "Model",
    "Result",
    "Unauthorized",
    "Unavailable",
    "UnexpectedAnswer",
]
