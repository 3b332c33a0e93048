"""Model servers over gRPC: every call with a deadline, and one that nobody got made once more."""

import asyncio
import random
import time
from functools import partial

import grpc
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from grpc import StatusCode as Code

from ..detection.models import ModelInfo, Prediction
from ..errors import BackendFailed, DetectError, NoBackend
from ..metrics import Metrics
from ..settings import Settings
from . import messages as m
from . import metadata
from .channel import channel
from .codec import of_response, request_maker
from .load_balancer import Backends, RetryBudget, Target
from .status_codes import ERRORS, translated, unreachable

# Before the same target is asked again: time to connect anew. Half to one and a half of it, so that
# not everybody comes back at once.
PAUSE_S = 0.1

STATES = {number: name for name, number in m.ModelVersionStatus.State.items()}


class TFServing:
    """Make it inside the running event loop; close it there."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._spec = m.ModelSpec(name=settings.model_name, signature_name="serving_default")
        if settings.model_version is not None:
            self._spec.version.value = settings.model_version
        self._request = request_maker(self._spec)
        self._seconds = metrics.backend_seconds
        self._retries = metrics.backend_retries
        self._budget = RetryBudget(burst=settings.max_in_flight)
        self._looks: set[asyncio.Task[DetectError | None]] = set()
        names = [name.strip() for name in settings.backend.split(",")]
        self._channels = [channel(name, settings) for name in names]
        self._backends = Backends(list(map(target, names, self._channels)))
        for each in self._backends.targets:
            metrics.backend_ejected(each.name).set_function(partial(getattr, each, "ejected"))

    async def close(self) -> None:
        for look in self._looks:
            look.cancel()
        for each in self._channels:
            await each.close()

    async def predict(self, picture: bytes, timeout_s: float) -> Prediction:
        """`picture`: JPEG or PNG bytes. Raises what ERRORS says, caused by the server's words.

        Detecting twice does no harm, so a server that cannot be reached costs another try, once.
        """
        deadline = time.perf_counter() + timeout_s
        request = self._request(picture)
        self._budget.call()
        failed: Target | None = None
        while True:
            at = self._backends.choose(failed)
            try:
                return of_response(await self._call(at, request, deadline - time.perf_counter()))
            except grpc.aio.AioRpcError as error:
                # Never in a variable: an error held by the frame that it leaves is a cycle, and the
                # picture would stay until a collection.
                if not unreachable(error):
                    raise translated(error) from error
                at.eject(str(translated(error)), error.details())
                pause_s = PAUSE_S * random.uniform(0.5, 1.5) if self._alone else 0.0
                late = time.perf_counter() + pause_s >= deadline
                if failed or late or not self._budget.retry():
                    raise translated(error) from error
                failed = at
            self._retries.inc()
            await asyncio.sleep(pause_s)

    @property
    def _alone(self) -> bool:
        return len(self._backends.targets) == 1

    async def _call(self, at: Target, request: bytes, timeout_s: float) -> bytes:
        started = time.perf_counter()
        code = Code.CANCELLED
        at.outstanding += 1
        try:
            response: bytes = await at.predict(request, timeout=timeout_s)
            code = Code.OK
            return response
        except grpc.aio.AioRpcError as error:
            code = error.code()
            raise
        finally:
            at.outstanding -= 1
            self._seconds(code.name).observe(time.perf_counter() - started)

    async def version(self, timeout_s: float) -> int:
        """The newest version that answers, as soon as one target says so; looks at the others go
        on. Raises what the first target to fail says where none is AVAILABLE."""
        looks = [
            asyncio.create_task(self._look(each, timeout_s)) for each in self._backends.targets
        ]
        for look in looks:
            self._looks.add(look)
            look.add_done_callback(self._looks.discard)
        troubles = []
        for next_look in asyncio.as_completed(looks):
            trouble = await next_look
            if trouble is None:
                return max(each.version or 0 for each in self._backends.targets)
            troubles.append(trouble)
        raise troubles[0]

    def models(self) -> list[ModelInfo]:
        """What each available model server serves; empty as long as one has not said it."""
        models = [each.model for each in self._backends.targets if not each.ejected]
        return [model for model in models if model] if all(models) else []

    async def _look(self, at: Target, timeout_s: float) -> DetectError | None:
        """What is wrong with it; it is ejected, or admitted again."""
        name = self._spec.name
        request = m.GetModelStatusRequest(model_spec=self._spec).SerializeToString()
        try:
            version = available(name, await at.status(request, timeout=timeout_s))
        except grpc.aio.AioRpcError as error:
            trouble = translated(error)
            trouble.__cause__ = error
            at.eject(str(trouble), error.details())
            return trouble
        except DetectError as trouble:
            at.eject(str(trouble), None)
            return trouble
        if at.model is None or at.model.version != version:
            at.model = await metadata.fetch(at.predict, name, version, timeout_s)
        at.admit(version, f"version {version} of {name} answers")
        return None


def target(name: str, at: grpc.aio.Channel) -> Target:
    """Bytes in and out: gRPC would turn an answer that cannot be parsed into None."""
    return Target(
        name,
        predict=at.unary_unary("/tensorflow.serving.PredictionService/Predict"),
        status=at.unary_unary("/tensorflow.serving.ModelService/GetModelStatus"),
    )


def available(name: str, status: bytes) -> int:
    """The newest AVAILABLE version in a GetModelStatusResponse; raises NoBackend for none."""
    try:
        states = m.GetModelStatusResponse.FromString(status).model_version_status
    except DecodeError as error:
        raise BackendFailed(ERRORS[Code.UNIMPLEMENTED][1]) from error
    versions = [s.version for s in states if s.state == m.ModelVersionStatus.AVAILABLE]
    if not versions:
        seen = ", ".join(f"{s.version}: {STATES.get(s.state, s.state)}" for s in states)
        raise NoBackend(f"No version of model {name!r} is AVAILABLE ({seen or 'none known'}).")
    return int(max(versions))
