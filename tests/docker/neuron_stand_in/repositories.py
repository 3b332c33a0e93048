"""Stand-ins of AWS's package repositories for Inf1: signed apt packages, and wheels, in a folder.

Names, versions and paths are those of the Neuron SDK's manifests; the contents are not AWS's. Newer
packages lie beside those for Inf1, so that a missing pin is seen.
"""

import hashlib
import subprocess
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
ORACLES = HERE.parents[1] / "support" / "oracles"
SERVERS = ("1.15.0.2.10.1.0", "2.10.1.2.12.2.0", "2.11.0.9.9.9.9")
RUNTIMES = ("2.12.23.0", "2.22.19.0", "2.23.110.0")
MONITOR = '#!/bin/sh\nwhile sleep 1; do echo "{}"; done\n'
EXPORTER = """#!/usr/bin/python3
import os, prometheus_client, sys, threading, time
prometheus_client.start_http_server(int(sys.argv[sys.argv.index("--port") + 1]))
for line in sys.stdin:
    pass
"""


def apt(folder: Path, how: str) -> None:
    """Write an apt repository whose server `bundles` a runtime, `depends` on one, or `lacks` it."""
    work = folder / "work"
    for version in RUNTIMES:
        library = _library(work / "lib" / version, version)
        files = {"opt/aws/neuron/lib/libnrt.so.1": library}
        _deb(folder, "aws-neuronx-runtime-lib", f"{version}-1", files)
    for version in SERVERS:
        built = work / version
        library = _library(built, "bundled")
        server = built / "server"
        rpath = {"bundles": "$ORIGIN", "depends": "/opt/aws/neuron/lib", "lacks": "/nowhere"}[how]
        _run(
            *("gcc", "-o", server, HERE / "server.c", "-L", built, "-l:libnrt.so.1"),
            f"-Wl,-rpath,{rpath}",
        )
        files = {"usr/bin/tensorflow_model_server_neuron": server}
        if how == "bundles":
            files["usr/bin/libnrt.so.1"] = library
        needs = "aws-neuronx-runtime-lib (>= 2.20)" if how == "depends" else ""
        _deb(folder, "tensorflow-model-server-neuronx", f"{version}-1", files, needs)
    for version in ("2.19.0.0", "2.20.204.0"):
        files = {}
        for name, text in {
            "neuron-monitor": MONITOR,
            "neuron-monitor-prometheus.py": EXPORTER,
        }.items():
            files[f"opt/aws/neuron/bin/{name}"] = work / name
            (work / name).write_text(text)
        _deb(folder, "aws-neuronx-tools", f"{version}-1", files)
    _sign(folder)


def wheels(folder: Path) -> None:
    """Write a package index with the doubles of both tensorflow-neurons."""
    partition = (ORACLES / "neuron_partition.py").read_text()
    double = (ORACLES / "neuron_double.py").read_text()
    double = double.replace("tests.support.oracles.neuron_partition", "tensorflow.neuron.partition")
    first = (ORACLES / "neuron_tf1_double.py").read_text()
    first += "\n\nsaved_model = types.SimpleNamespace(compile=compile)\n"
    for version, tensorflow, code in (
        ("2.10.1.2.12.2.0", "2.10.1", double),
        ("1.15.5.2.9.3.0", "1.15.5", first),
    ):
        # In both places, as in AWS's wheel (api/__init__.py): 1.15 lies in tensorflow_core.
        files = {
            f"{place}/neuron/{name}": text
            for place in ("tensorflow", "tensorflow_core")
            for name, text in {"__init__.py": code, "partition.py": partition}.items()
        }
        needs = f"Requires-Dist: tensorflow ~={tensorflow}.0\nRequires-Dist: protobuf <4\n"
        needs += 'Provides-Extra: cc\nRequires-Dist: neuron-cc ; extra == "cc"\n'
        _wheel(folder, "tensorflow_neuron", version, files, needs)
    for version in ("1.17.0.0", "1.24.0.0", "9.9.9.9"):
        code = f"import pkg_resources\n\n\ndef main():\n    print('neuron-cc {version}')\n"
        scripts = "[console_scripts]\nneuron-cc = neuron_cc:main\n"
        entry = {f"neuron_cc-{version}.dist-info/entry_points.txt": scripts}
        needs = "Requires-Dist: setuptools\n"
        _wheel(folder, "neuron_cc", version, {"neuron_cc.py": code, **entry}, needs)


def _library(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True)
    source = folder / "nrt.c"
    source.write_text(f'const char *nrt_version(void) {{ return "{version}"; }}\n')
    library = folder / "libnrt.so.1"
    _run("gcc", "-shared", "-fPIC", "-Wl,-soname,libnrt.so.1", "-o", library, source)
    return library


def _deb(folder: Path, name: str, version: str, files: dict[str, Path], needs: str = "") -> None:
    root = folder / "work" / f"{name}-{version}"
    for path, source in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(source.read_bytes())
        (root / path).chmod(0o755)
    (root / "DEBIAN").mkdir()
    control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: tests\n"
    control += f"Depends: {needs}\n" if needs else ""
    (root / "DEBIAN" / "control").write_text(f"{control}Description: a stand-in\n")
    pool = folder / "pool"
    pool.mkdir(exist_ok=True)
    _run("dpkg-deb", "--root-owner-group", "--build", root, pool / f"{name}_{version}_amd64.deb")


def _sign(folder: Path) -> None:
    packages = ""
    for deb in sorted((folder / "pool").glob("*.deb")):
        control = _run("dpkg-deb", "-f", deb)
        digest = hashlib.sha256(deb.read_bytes()).hexdigest()
        packages += (
            f"{control}Filename: pool/{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n\n"
        )
    index = folder / "dists" / "jammy" / "main" / "binary-amd64" / "Packages"
    index.parent.mkdir(parents=True)
    index.write_text(packages)
    digest = hashlib.sha256(packages.encode()).hexdigest()
    release = folder / "dists" / "jammy" / "Release"
    release.write_text(
        "Origin: tests\nSuite: jammy\nCodename: jammy\nArchitectures: amd64\nComponents: main\n"
        "Date: Tue, 24 Nov 2026 00:00:00 UTC\nSHA256:\n"
        f" {digest} {len(packages.encode())} main/binary-amd64/Packages\n"
    )
    home = folder / "gnupg"
    home.mkdir(mode=0o700)
    gpg = ("gpg", "--homedir", home, "--batch", "--quiet", "--passphrase", "")
    _run(*gpg, "--quick-generate-key", "neuron@tests.invalid", "rsa2048", "sign", "never")
    _run(*gpg, "--clearsign", "--output", release.with_name("InRelease"), release)
    key = folder / "GPG-PUB-KEY-AMAZON-AWS-NEURON.PUB"
    _run(*gpg, "--armor", "--output", key, "--export")
    _run("gpgconf", "--homedir", home, "--kill", "all")


def _wheel(folder: Path, name: str, version: str, files: dict[str, str], needs: str) -> None:
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n{needs}"
    files = {
        **files,
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    place = folder / name.replace("_", "-")
    place.mkdir(parents=True, exist_ok=True)
    wheel = place / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
