"""The client of the model servers: Predict with deadline and retry, health checks, metadata."""

import asyncio
import copy
import random
import time

import grpc
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from grpc import StatusCode as Code

from ..core import tracing
from ..core.errors import BackendFailed, DetectError, Full, NoBackend, NotFound
from ..core.metrics import Metrics
from ..detection.models import ModelInfo, Prediction
from ..settings import Settings
from . import messages as m
from . import metadata
from .codec import decode_response, request_encoder
from .fleet import PREDICT, Fleet
from .load_balancer import RetryBudget, Target
from .status_codes import ERRORS, is_out_of_threads, is_unknown_version, is_unreachable, translate

# Delay before a retry at the same target, for it to reconnect. Jitter of half to one and a half
# spreads the retries.
RETRY_DELAY_S = 0.1

SIGNATURE_DEF = b"\x12\x0dsignature_def"  # GetModelMetadataRequest.metadata_field, required

STATES = {number: name for name, number in m.ModelVersionStatus.State.items()}


class TFServing:
    """One model of one or more TensorFlow Serving model servers. Create and close it in the same
    event loop. The channels of several share the connections: gRPC pools them."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        metrics: Metrics,
        version: str | None = None,
        track: str = "stable",
    ) -> None:
        """`version`: a number or a label; None for the newest. `track`: for metrics."""
        self._name, self._version, self._track = name, version, track
        self._encode = request_encoder(spec(name, version))
        self._seconds = metrics.backend_seconds
        self._retries = metrics.backend_retries(name)
        self._budget = RetryBudget(burst=settings.max_in_flight)
        self._checks: set[asyncio.Task[DetectError | None]] = set()
        self._backends = Fleet(name, settings, metrics, track)

    async def close(self) -> None:
        for check in self._checks:
            check.cancel()
        await self._backends.close()

    async def predict(self, picture: bytes, timeout_s: float, isolated: bool = False) -> Prediction:
        """`picture`: JPEG or PNG bytes. `isolated`: not batched with ordinary calls.

        Raises the errors of `status_codes.ERRORS`.

        A call that no server worked on is retried once: at another server, or, if the only one
        cannot be reached, there again.
        """
        deadline = time.perf_counter() + timeout_s
        await self._backends.known(timeout_s)
        request = self._encode(picture, isolated)
        self._budget.call()
        failed: Target | None = None
        while True:
            target = self._backends.choose(failed)
            remaining_s = deadline - time.perf_counter()
            try:
                with self._traced(target) as call:
                    answer = await self._call(target, request, remaining_s, call.metadata)
                    prediction = decode_response(answer, isolated)
                    call.set("detect.model.version", prediction.version)
                    return prediction
            except grpc.aio.AioRpcError as error:
                # Not stored in a variable: an exception that its own frame holds is a reference
                # cycle, and would keep the picture in memory until a collection.
                delay_s = self._retry_delay_s(target, error)
                late = delay_s is None or time.perf_counter() + delay_s >= deadline
                if failed or late or not self._budget.retry():
                    raise self._problem(error) from error
                failed = target
            self._retries.inc()
            await asyncio.sleep(delay_s or 0)

    def _retry_delay_s(self, target: Target, error: grpc.aio.AioRpcError) -> float | None:
        """Seconds until the call may be retried; None if it must not be. Ejects a target that
        cannot be reached."""
        if is_unreachable(error):
            target.eject(str(translate(error)), error.details())
            return RETRY_DELAY_S * random.uniform(0.5, 1.5) if self._alone else 0.0
        if is_out_of_threads(error):
            target.out_of_threads(error.details())
            others = (other for other in self._backends.targets if other is not target)
            return 0.0 if any(not other.ejected for other in others) else None
        return None

    @property
    def _alone(self) -> bool:
        return len(self._backends.targets) == 1

    def _traced(self, target: Target) -> tracing.Call:
        return tracing.Call(PREDICT, target.name, {"detect.model.name": self._name})

    async def _call(
        self, target: Target, request: bytes, timeout_s: float, metadata: tracing.Metadata
    ) -> bytes:
        started = time.perf_counter()
        code = Code.CANCELLED
        target.outstanding += 1
        try:
            response: bytes = await target.predict(request, timeout=timeout_s, metadata=metadata)
            code = Code.OK
            return response
        except grpc.aio.AioRpcError as error:
            code = error.code()
            raise
        finally:
            target.outstanding -= 1
            version = "" if self._track == "requested" else target.version or ""
            seconds = self._seconds(self._name, self._track, version, code.name)
            seconds.observe(time.perf_counter() - started, tracing.exemplar())

    def at(self, version: str) -> "TFServing":
        """Another version at the same model servers, for calls that ask for it: `predict` and
        `number` raise NotFound where it is not served. Its state is this client's own."""
        other = copy.copy(self)
        other._version, other._track = version, "requested"
        other._encode = request_encoder(spec(self._name, version))
        return other

    async def number(self, timeout_s: float) -> int:
        """The number of the version that would answer, without a health check."""
        await self._backends.known(timeout_s)
        try:
            return await self._available(self._backends.choose(), timeout_s)
        except grpc.aio.AioRpcError as error:
            raise self._problem(error) from error

    def _problem(self, error: grpc.aio.AioRpcError) -> DetectError:
        """A caller's own choice that is not served is the caller's mistake, if the model is."""
        if self._track == "requested" and self.current and is_unknown_version(error):
            return NotFound(f"Version {self._version!r} of model {self._name!r} is not served.")
        return translate(error)

    @property
    def current(self) -> int:
        """The newest version of a healthy target, as of the last health check; 0 for none."""
        return max((target.version or 0 for target in self._backends.targets), default=0)

    async def version(self, timeout_s: float) -> int:
        """Health-checks all targets. Returns the newest version as soon as one target is healthy;
        the other checks go on. Raises the first target's error if none is."""
        await self._backends.known(timeout_s)
        targets = self._backends.targets  # of now: one that vanishes meanwhile has answered too
        checks = [asyncio.create_task(self._check(target, timeout_s)) for target in targets]
        for check in checks:
            self._checks.add(check)
            check.add_done_callback(self._checks.discard)
        problems = []
        for next_check in asyncio.as_completed(checks):
            problem = await next_check
            if problem is None:
                return max(target.version or 0 for target in targets)
            problems.append(problem)
        raise problems[0]

    def models(self) -> list[ModelInfo]:
        """The model of each healthy target; empty until all of them are known."""
        models = [target.model for target in self._backends.targets if not target.ejected]
        return [model for model in models if model] if all(models) else []

    async def _check(self, target: Target, timeout_s: float) -> DetectError | None:
        """Health-checks a target, and ejects or admits it. Returns the problem, if any."""
        if target not in self._backends.targets:
            return NoBackend("The model server's name no longer has this address.")
        target.checks += 1  # keeps its channel open
        try:
            return await self._check_open(target, timeout_s)
        finally:
            target.checks -= 1

    async def _check_open(self, target: Target, timeout_s: float) -> DetectError | None:
        name = self._name
        try:
            version = await self._available(target, timeout_s)
        except grpc.aio.AioRpcError as error:
            problem = translate(error)
            problem.__cause__ = error
            if isinstance(problem, Full):
                # Busy is alive: what the last successful check said still holds.
                target.out_of_threads(error.details())
                return None if target.version else problem
            target.eject(str(problem), error.details())
            return problem
        except DetectError as problem:
            target.eject(str(problem), None)
            return problem
        if target.model is None or target.model.version != version:
            target.model = await metadata.fetch(target.predict, name, version, timeout_s)
        target.admit(version, f"version {version} of {name} answers")
        return None

    async def _available(self, target: Target, timeout_s: float) -> int:
        """The version that would answer. GetModelStatus ignores labels."""
        asked = spec(self._name, self._version)
        if asked.version_label or self._track == "requested":
            return await labelled(target, asked, timeout_s)
        request = m.GetModelStatusRequest(model_spec=asked).SerializeToString()
        return newest_available(self._name, await target.status(request, timeout=timeout_s))


def spec(name: str, version: str | None) -> m.ModelSpec:
    """`version`: a number or a label; None for the newest."""
    model = m.ModelSpec(name=name, signature_name="serving_default")
    if version is None:
        return model
    if version.isdigit():
        model.version.value = int(version)
    else:
        model.version_label = version
    return model


async def labelled(target: Target, asked: m.ModelSpec, timeout_s: float) -> int:
    """The number of an available version, asked for by number or label: what GetModelMetadata
    answers with."""
    # GetModelMetadata's own messages need twenty more of TensorFlow's files. Request and response
    # begin with a ModelSpec, as GetModelStatusRequest does, and other fields are skipped.
    request = m.GetModelStatusRequest(model_spec=asked).SerializeToString() + SIGNATURE_DEF
    answer = await target.metadata(request, timeout=timeout_s)
    try:
        return int(m.GetModelStatusRequest.FromString(answer).model_spec.version.value)
    except DecodeError as error:
        raise BackendFailed(ERRORS[Code.UNIMPLEMENTED][1]) from error


def newest_available(name: str, status: bytes) -> int:
    """The newest AVAILABLE version in a GetModelStatusResponse. Raises NoBackend for none."""
    try:
        states = m.GetModelStatusResponse.FromString(status).model_version_status
    except DecodeError as error:
        raise BackendFailed(ERRORS[Code.UNIMPLEMENTED][1]) from error
    versions = [s.version for s in states if s.state == m.ModelVersionStatus.AVAILABLE]
    if not versions:
        listed = ", ".join(f"{s.version}: {STATES.get(s.state, s.state)}" for s in states)
        raise NoBackend(f"No version of model {name!r} is AVAILABLE ({listed or 'none known'}).")
    return int(max(versions))
