"""Discovery of addresses: which names are resolved, when a change is reported, failures."""

import asyncio
import socket
from collections.abc import Callable, Iterable

import pytest

from service.backend.discovery import Address, Discovery, resolve
from service.core import errors, logs

INTERVAL_S = 0.01


class Names:
    """A resolver whose answer a test changes; None fails."""

    def __init__(self, *hosts: str) -> None:
        self.hosts: Iterable[str] | None = hosts
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        if self.hosts is None:
            raise socket.gaierror(-2, "Name or service not known")
        return list(self.hosts)

    async def asked_again(self) -> None:
        for _ in range(2):  # the first may have been under way
            before = len(self.asked)
            while len(self.asked) == before:  # noqa: ASYNC110
                await asyncio.sleep(0)


def discover(
    names: list[str], resolver: Names, change: Callable[[], None] = lambda: None
) -> list[list[Address]]:
    """What is reported: before the first look-up, after it, and after `change`."""
    reports: list[list[Address]] = []

    async def run() -> None:
        discovery = Discovery(names, INTERVAL_S, reports.append, resolver)
        task = asyncio.create_task(discovery.run())
        if resolver.hosts is not None:
            await discovery.first(1)
        change()
        if not task.done():
            await resolver.asked_again()
            await resolver.asked_again()
        task.cancel()

    asyncio.run(run())
    return reports


@pytest.mark.parametrize(
    "name",
    [
        "a:8500",
        "unix:/run/models",
        "ipv4:10.0.0.1:1",
        "dns://10.0.0.2/a:8500",
        "dns:///a",
        "[::1]:1",
    ],
)
def test_other_targets_are_not_resolved(name: str) -> None:
    names = Names("10.0.0.1")
    reports: list[list[Address]] = []

    async def run() -> None:
        discovery = Discovery([name], INTERVAL_S, reports.append, names)
        await discovery.run()  # returns
        await discovery.first(0)

    asyncio.run(run())
    assert reports == [[Address(name, name)]]
    assert names.asked == []


@pytest.mark.parametrize("name", ["dns:///models.test:8500", "dns:models.test:8500"])
def test_a_name_becomes_its_addresses(name: str) -> None:
    names = Names("10.0.0.1", "fd00::1")
    assert discover([name], names) == [
        [],
        [
            Address("10.0.0.1:8500", "ipv4:10.0.0.1:8500", "models.test"),
            Address("[fd00::1]:8500", "ipv6:[fd00::1]:8500", "models.test"),
        ],
    ]
    assert set(names.asked) == {("models.test", 8500)}


def test_the_final_dot_is_for_the_resolver_alone() -> None:
    names = Names("10.0.0.1")
    _, (address,) = discover(["dns:///models.test.:1"], names)
    assert (names.asked[0], address.host) == (("models.test.", 1), "models.test")


def test_only_changes_are_reported() -> None:
    names = Names("10.0.0.1")

    def change() -> None:
        names.hosts = ("10.0.0.1", "10.0.0.2")

    reports = discover(["dns:///a:1", "b:2"], names, change)
    assert [[a.name for a in report] for report in reports] == [
        ["b:2"],
        ["10.0.0.1:1", "b:2"],
        ["10.0.0.1:1", "10.0.0.2:1", "b:2"],
    ]


def test_two_names_of_one_address_are_one_server() -> None:
    reports = discover(["dns:///a:1", "dns:///b:1"], Names("10.0.0.1"))
    assert [a.name for a in reports[-1]] == ["10.0.0.1:1"]


@pytest.mark.parametrize("answer", [None, ()])
def test_a_failed_look_up_keeps_the_addresses_and_is_logged_once(
    answer: tuple[str, ...] | None, capfd: pytest.CaptureFixture[str]
) -> None:
    names = Names("10.0.0.1")

    def change() -> None:
        names.hosts = answer

    reports = discover(["dns:///a:1"], names, change)
    assert [[a.name for a in report] for report in reports] == [[], ["10.0.0.1:1"]]
    assert logs.flush()
    assert capfd.readouterr().err.count("backend name not resolved") == 1


@pytest.mark.parametrize("answer", [None, ()])
def test_a_name_without_an_address_is_no_backend(answer: tuple[str, ...] | None) -> None:
    names = Names()
    names.hosts = answer

    async def run() -> None:
        discovery = Discovery(["dns:///a:1"], INTERVAL_S, lambda _: None, names)
        task = asyncio.create_task(discovery.run())
        with pytest.raises(errors.NoBackend, match="has no address"):
            await discovery.first(1)
        task.cancel()

    asyncio.run(run())


def test_the_systems_resolver_gives_one_family() -> None:
    assert asyncio.run(resolve("localhost", 1)) == ["127.0.0.1"]
    assert asyncio.run(resolve("::1", 1)) == ["::1"]
    with pytest.raises(socket.gaierror):
        asyncio.run(resolve("no.such.name.invalid", 1))
