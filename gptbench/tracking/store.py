"""Where runs are logged to: a SQLite file, another database or a tracking server."""

from __future__ import annotations

import socket
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gptbench.errors import UserError

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"

ENVIRONMENT = {
    # MLflow sends usage data unless told not to, prints a link for each run, and warns of each
    # try of many where a database is locked; what comes of it is an error.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    # A server that is away should be noticed within seconds, not minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


@dataclass(frozen=True)
class Store:
    """A tracking store: its URI, its name in the ledger, and the database file of SQLite."""

    uri: str
    name: str
    database: Path | None
    artifacts: Path | None

    @classmethod
    def of(cls, root: Path, uri: str | None) -> Store:
        """The store that `uri` names; `mlflow.db` in `root` where none is given."""
        if not uri:
            database = root / DATABASE
            # Named apart from its path, so that a moved project still knows its runs.
            return cls(f"sqlite:///{database}", "default", database, root / ARTIFACTS)
        parts = urlsplit(uri)
        if parts.scheme.startswith("sqlite"):
            path = uri.split("?")[0].partition("://")[2].removeprefix("/")
            if not path:
                raise UserError(f"tracking_uri {uri}: names no file (sqlite:///PATH)")
            database = Path(path).absolute()
            artifacts = database.parent / ARTIFACTS
            return cls(f"sqlite:///{database}", str(database), database, artifacts)
        dialect = parts.scheme.split("+")[0]
        if dialect in ("http", "https", "postgresql", "mysql", "mssql") and parts.netloc:
            return cls(uri, _without_password(uri), None, None)
        raise UserError(
            f"tracking_uri {uri}: use http://HOST:PORT, sqlite:///PATH or another database's URI"
        )

    def holds(self, run: str) -> bool:
        """Whether the run still stands there, as far as can be told without MLflow."""
        if self.database is None:
            return True
        if not self.database.exists():
            return False
        try:
            with closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True)) as link:
                query = "select lifecycle_stage from runs where run_uuid = ?"
                return bool(link.execute(query, (run,)).fetchone() == ("active",))
        except sqlite3.Error:
            return False

    def check(self) -> None:
        """Raise `Away` at once where nothing listens, or the file is no database.

        MLflow itself would try again for minutes.
        """
        if self.database is not None and self.database.exists():
            with self.database.open("rb") as file:
                if file.read(16) not in (b"", b"SQLite format 3\0"):
                    raise Away("this file is no SQLite database")
        parts = urlsplit(self.uri)
        if parts.scheme not in ("http", "https"):
            return
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((parts.hostname or "", port), timeout=3).close()
        except OSError as error:
            raise Away(error.strerror or str(error)) from None


def _without_password(uri: str) -> str:
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl().rstrip("/")


class Away(Exception):
    """The store can't be reached or used; the reason in a few words."""


def shown(path: Path) -> str:
    """The path as a person would type it from here."""
    with suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
