"""BentoML: one worker, async calls, no access log.

A raw body is a root input of bytes. A form's part can be a `Path`, which is a temporary file on
disk, or a PIL image, which is read from memory; the image is the faster, and its file has the
upload's bytes. An answer of bytes is faster than one of a dict, which goes through pydantic.
"""

# It runs in a venv of its own, which mypy does not see.
# mypy: disable-error-code="import-not-found, untyped-decorator, attr-defined"

import json
from typing import Annotated

import bentoml
from bentoml.validators import ContentType
from equal_work import Backend
from PIL.Image import Image

Json = Annotated[bytes, ContentType("application/json")]


@bentoml.service(workers=1, traffic={"timeout": 10}, logging={"access": {"enabled": False}})
class Detect:
    @bentoml.on_startup
    async def connect(self) -> None:
        self.backend = Backend()

    @bentoml.api
    async def raw(self, image: Annotated[bytes, ContentType("image/jpeg")], /) -> Json:
        return json.dumps(await self.backend.detect(image)).encode()

    @bentoml.api
    async def multipart(self, image: Image) -> Json:
        file = image.fp
        file.seek(0)
        return json.dumps(await self.backend.detect(file.read())).encode()
