"""The errors a request can end in; api/problems.py maps each to an HTTP status.

DetectError
├── BadPicture            not a picture that can be decoded
├── MalformedBody         a body whose chunks or form cannot be parsed
├── UnsupportedMedia      a picture or a body of a kind that is not served
├── SlowUpload            upload timed out
├── TooLarge              too many bytes, pixels or pictures
├── BadParameter          a part or parameter that is missing, repeated or out of range
├── Unauthorized          no key, or one that is not known
├── NotFound              no model or version of this name
├── Unavailable           try again later
│   ├── Full              the queue or the memory budget is full
│   ├── Draining          this gateway is shutting down
│   ├── NoBackend         no model server, or not this model
│   └── BackendFailed     the model server answered, but not with detections
└── DeadlineExceeded      no answer within the request's deadline
"""

# Keys in the ASGI scope's state.
BODY_ERROR = "body_error"  # the DetectError that ended the body
DISCONNECT = "disconnect"  # a future that is done when the client disconnects


class DetectError(Exception):
    """Its message is shown to the caller, and never quotes the model server."""


class BadPicture(DetectError):
    pass


class MalformedBody(DetectError):
    pass


class UnsupportedMedia(DetectError):
    pass


class SlowUpload(DetectError):
    pass


class TooLarge(DetectError):
    pass


class BadParameter(DetectError):
    pass


class Unauthorized(DetectError):
    pass


class NotFound(DetectError):
    pass


class Unavailable(DetectError):
    """`retry_after_s`: whole seconds, sent as Retry-After."""

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Full(Unavailable):
    pass


class Draining(Unavailable):
    pass


class NoBackend(Unavailable):
    pass


class BackendFailed(Unavailable):
    pass


class DeadlineExceeded(DetectError):
    pass
