"""What can go wrong, in the words of this domain; problems.py says which HTTP status each is.

DetectError
├── BadPicture            not a picture that can be decoded
├── UnsupportedMedia      a picture or a body of a kind that is not served
├── SlowUpload            the body did not arrive in time
├── TooLarge              too many bytes, pixels or pictures
├── BadParameter          a part or parameter that is missing, doubled or out of range
├── Unauthorized          no key, or one that is not known
├── Unavailable           try again later
│   ├── Full              as many requests are waiting as may wait
│   ├── Draining          this gateway is about to stop
│   ├── NoBackend         no model server, or not this model
│   └── BackendFailed     the model server answered, but not with detections
└── DeadlineExceeded      no answer within the request's budget
"""


class DetectError(Exception):
    """The message is one sentence for the caller; it never carries what the backend said."""


class BadPicture(DetectError):
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


class Unavailable(DetectError):
    """`retry_after_s`: whole seconds, when it is likely to be worth another try."""

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
