"""A client of a store: MLflow is imported here, late and quietly."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gptbench.tracking.store import ENVIRONMENT, Away, Store

if TYPE_CHECKING:
    from mlflow import MlflowClient


def _prepare() -> None:
    """Import MLflow, quietly and without its usage data; it takes seconds, so this comes last."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name, level in (("alembic", logging.WARNING), ("mlflow", logging.ERROR)):
        logging.getLogger(name).setLevel(level)
    try:
        import mlflow  # noqa: F401
    except ImportError as error:
        raise Away(f"mlflow can't be imported ({error})") from None


@contextmanager
def _one_flush(database: Path | None) -> Iterator[None]:
    """Flush SQLite's file to disk once at the end, not after each of many hundred transactions.

    A crash of this process loses nothing by it; a power cut within these seconds may cost the
    database, which `sync` makes again from the files.
    """
    if database is None:
        yield
        return
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def relax(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", relax)
    try:
        yield
    finally:
        event.remove(Engine, "connect", relax)
        if database.exists():
            with database.open("rb+") as file:
                os.fsync(file.fileno())


@contextmanager
def connected(store: Store) -> Iterator[MlflowClient]:
    """A client of the store; a store that is away or broken raises `Away`."""
    _prepare()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        with _one_flush(store.database):
            yield MlflowClient(store.uri)
    except MlflowException as error:
        raise Away(str(error)) from None
    except Exception as error:
        # Database and connection errors of the libraries below MLflow.
        if type(error).__module__.split(".")[0] in ("sqlalchemy", "alembic", "requests", "urllib3"):
            raise Away(str(error)) from None
        raise
