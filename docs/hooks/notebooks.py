"""MkDocs hook: notebooks with their stored outputs as pages."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page beside each notebook, which itself can be downloaded."""
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        content = Path(str(notebook.abs_src_path)).read_text()
        page = notebook.src_uri.removesuffix(".ipynb") + ".md"
        files.append(File.generated(config, page, content=markdown(json.loads(content))))
    return files


def markdown(notebook: dict[str, Any]) -> str:
    return "\n\n".join(part for cell in notebook["cells"] for part in _cell(cell))


def _cell(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] != "code":
        yield source
        return
    yield f"```python\n{source}\n```"
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "image/jpeg" in data:
            image = "".join(data["image/jpeg"]).replace("\n", "")
            yield f"![Output](data:image/jpeg;base64,{image}){{width=400}}"
        else:
            text = "".join(output.get("text") or data["text/plain"]).rstrip()
            yield f"```text\n{text}\n```"
