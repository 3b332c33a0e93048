"""Loads and unloads versions: a new one before the old one is retired.

As tensorflow/serving `core/{aspired_versions_manager,loader_harness}.cc` and
`sources/storage_path/file_system_storage_path_source.cc`, but: a missing base path does not stop
the polling of other models; a version waiting for its next load attempt blocks nothing and is
dropped when it is no longer wanted.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import tensorflow as tf

from . import memory
from .config import wanted_versions
from .repository import Repository
from .servable import Servable
from .version import AVAILABLE, END, LOADING, START, UNLOADING, Action, Version, next_action

log = logging.getLogger(__name__)


class Manager:
    """One thread, from `start` on, that makes the repository what its config asks for."""

    def __init__(
        self,
        repository: Repository,
        load: Callable[[Path], Servable],
        *,
        poll_wait_s: float = 1,
        max_load_retries: int = 5,
        load_retry_interval_s: float = 60,
    ) -> None:
        """`poll_wait_s` 0: look at the file system once per configuration."""
        self._repository = repository
        self._load = load
        self._poll_wait_s = poll_wait_s or math.inf
        self._max_load_retries = max_load_retries
        self._load_retry_interval_s = load_retry_interval_s
        self._next_poll = 0.0  # time.monotonic()
        self._polled: dict[str, Any] = {}  # the configuration of the last poll
        self._troubles: dict[str, str] = {}  # name -> what the last poll complained of
        self._thread = threading.Thread(target=self._run, name="manager", daemon=True)

    def start(self, on_failure: Callable[[], object]) -> None:
        """`on_failure` is called, on the manager's thread, if an error ends it."""
        self._on_failure = on_failure
        self._thread.start()

    def _run(self) -> None:
        try:
            self._manage()
        except Exception:
            log.exception("The thread that loads versions failed")
            self._on_failure()

    def _manage(self) -> NoReturn:
        while True:
            self._poll()
            with self._repository.changed:
                models = [list(versions.values()) for versions in self._repository.models.values()]
                task = next_action(models, time.monotonic())
                if task is None:
                    if self._repository.config is self._polled:
                        self._repository.changed.wait(self._idle_s(models))
                    continue
                action, version = task
                if action is not Action.CLOSE:
                    version.state = LOADING if action is Action.LOAD else UNLOADING
            match action:
                case Action.LOAD:
                    self._attempt(version)
                case Action.RETIRE:
                    log.info("%s: retired", version)
                case Action.CLOSE:
                    self._discard(version)
            if action is not Action.RETIRE:
                memory.give_back()

    def _idle_s(self, models: list[list[Version]]) -> float | None:
        retries = [v.load_at for versions in models for v in versions if v.state == LOADING]
        due = min([self._next_poll, *retries])
        return None if due == math.inf else max(due - time.monotonic(), 0)

    def _poll(self) -> None:
        with self._repository.changed:
            config = self._repository.config
            if time.monotonic() < self._next_poll and config is self._polled:
                return
            self._polled = config
            self._next_poll = time.monotonic() + self._poll_wait_s
        # Outside the lock: the file system may be slow, and requests need the lock.
        wanted: dict[str, dict[int, Path]] = {name: {} for name in self._repository.models}
        for name, model in config.items():
            try:
                wanted[name] = wanted_versions(model)
                trouble = "" if wanted[name] else f"No versions found under {model.base_path}"
            except tf.errors.InvalidArgumentError as error:
                wanted.pop(name, None)  # A base path that cannot be read takes nothing away.
                trouble = error.message
            if trouble and self._troubles.get(name) != trouble:
                log.warning("%s", trouble)
            self._troubles[name] = trouble
        with self._repository.changed:
            if config is self._repository.config:
                for name, paths in wanted.items():
                    self._want(name, paths)

    def _want(self, name: str, paths: dict[int, Path]) -> None:
        versions = self._repository.models.setdefault(name, {})
        for version in versions.values():
            if version.wanted and version.number not in paths:
                version.wanted = False
                if version.state in (START, LOADING):
                    version.state = END
        for number, path in paths.items():
            old = versions.get(number)
            if old is None or (old.state == END and not old.wanted):
                versions[number] = Version(number, name, path)
            elif old.state != UNLOADING:
                old.wanted = True
        self._repository.changed.notify_all()

    def _attempt(self, version: Version) -> None:
        log.info("%s: loading from %s", version, version.path)
        started = time.monotonic()
        try:
            with memory.freed_at_once():
                servable = self._load(version.path)
        except Exception as error:  # TensorFlow raises what it likes, and here is who must know
            self._note_failure(version, error)
            return
        with self._repository.changed:
            version.servable = servable
            version.state = AVAILABLE
            version.status = type(version.status)()
            self._repository.changed.notify_all()
        log.info("%s: available after %.1f s", version, time.monotonic() - started)

    def _note_failure(self, version: Version, error: Exception) -> None:
        code, text = tf.errors.UNKNOWN, str(error)
        if isinstance(error, tf.errors.OpError):
            code, text = error.error_code, error.message
        with self._repository.changed:
            version.attempts += 1
            version.status.error_code, version.status.error_message = code, text
            version.load_at = time.monotonic() + self._load_retry_interval_s
            last = version.attempts > self._max_load_retries
            if last:
                version.state = END
            self._repository.changed.notify_all()
        again = "given up" if last else f"next attempt in {self._load_retry_interval_s:g} s"
        log.error("%s: loading failed, %s: %s", version, again, version.status_text())

    def _discard(self, version: Version) -> None:
        servable, version.servable = version.servable, None
        assert servable is not None, "a retired version still has its servable"
        servable.close()
        with self._repository.changed:
            version.state = END
            self._repository.changed.notify_all()
        log.info("%s: unloaded", version)
