"""The MLflow UI of a results folder."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from gptbench.errors import UserError
from gptbench.tracking.store import ARTIFACTS, DATABASE, ENVIRONMENT, Store, shown


def server_command(root: Path, port: int) -> list[str]:
    """The command that serves the database of a results folder on 127.0.0.1."""
    store = Store.of(root.absolute(), None)
    if store.database is None or not store.database.exists():
        raise UserError(
            f"{shown(root.absolute() / DATABASE)}: nothing is logged yet; run `make reproduce` "
            f"or `gptbench track sync --results {shown(root.absolute())}/SCALE`"
        )
    server = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    place = (root.absolute() / ARTIFACTS).as_uri()
    return [
        *server,
        *("--backend-store-uri", store.uri, "--default-artifact-root", place),
        *("--workers", "1"),
    ]


def server_environment() -> dict[str, str]:
    """The environment of a server: no usage data sent, no job workers, no packages' warnings."""
    return {
        "PYTHONWARNINGS": "ignore",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        **{name: ENVIRONMENT[name] for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")},
        **os.environ,
    }


def ui(results_root: Path, port: int = 5000) -> None:
    """Serve the MLflow UI of `results_root`; does not return.

    Raises:
        UserError: nothing is logged yet, or the port is taken.
    """
    command = server_command(results_root, port)
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            link.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(f"port {port}: {error.strerror}; choose another with --port") from None
    print(f"MLflow starts on http://127.0.0.1:{port} (Ctrl-C ends it) ...", flush=True)
    os.execve(command[0], command, server_environment())
