"""The report's page knows its runs in MLflow: one block of JSON, put in after a sync."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gptbench.artifacts import atomic

PAGE = Path("report") / "index.html"
UI = "http://127.0.0.1:5000"
_BLOCK = re.compile(r'(<script type="application/json" id="mlflow">)(.*?)(</script>)', re.DOTALL)


def block(entry: Mapping[str, Any], ui: str) -> str:
    """The JSON that names experiment, parent run and runs (ours to MLflow's).

    `<` is escaped, so that nothing in it ends the script element.
    """
    runs = {run["run_id"]: run["mlflow"] for run in entry.get("runs", {}).values()}
    data = {
        "ui": ui,
        "experiment": entry["experiment"],
        "parent": entry["parent"],
        "runs": runs,
    }
    return json.dumps(data, sort_keys=True).replace("<", "\\u003c")


def fill(results: Path, entry: Mapping[str, Any], ui: str) -> bool:
    """Put the block into the report's page, if it has a place for it and says something else.

    The file keeps its time, so that the workflow sees no change. Returns whether it was written.
    """
    path = results / PAGE
    if not path.exists() or not entry.get("parent"):
        return False
    text = path.read_text("utf-8")
    found = _BLOCK.search(text)
    made = block(entry, ui)
    if found is None or found[2] == made:
        return False
    times = path.stat()
    with atomic(path) as temporary:
        temporary.write_text(text[: found.start(2)] + made + text[found.end(2) :], "utf-8")
        os.utime(temporary, ns=(times.st_atime_ns, times.st_mtime_ns))
    return True
