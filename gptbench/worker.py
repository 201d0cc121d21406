"""A warm worker: imports torch and Lightning once and forks for each short job.

A cold `import pytorch_lightning` takes seconds; a reproduction has a hundred jobs of a few
seconds. The workflow starts one worker (`started`), the command line hands its job over
(`delegate`), and the worker forks before any tensor work, so a job's result is the same as
without it. Where there is no worker, the job runs in its own process.

Protocol, on a Unix socket: the client sends one JSON line with its arguments, folder and
environment, along with its standard output and error; the worker answers with the job's exit
status. If either side goes away, the other ends what it was doing.
"""

from __future__ import annotations

import array
import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from gptbench import lock

if TYPE_CHECKING:
    from gptbench.display import Watch
    from gptbench.plan import Plan

SOCKET = "GPTBENCH_WORKER"
WARM = tuple(
    "encode pretrain finetune zeroshot fewshot corpus tokenizer contamination attention".split()
)
PRELOAD = (
    "pytorch_lightning",
    "pyarrow.parquet",
    "sklearn.metrics",
    "scipy.stats",
    "gptbench.data.inputs",
    "gptbench.data.contamination",
    "gptbench.data.corpus",
    "gptbench.data.tokenizer",
    "gptbench.training.pretrain",
    "gptbench.training.finetune",
    "gptbench.evaluation.attention",
    "gptbench.evaluation.zeroshot",
)
GRACE = 10.0


# The client's side. --------------------------------------------------------------------------


def delegate(argv: list[str]) -> int | None:
    """Run a command in the worker; its exit status, or None where there is no worker."""
    path = os.environ.get(SOCKET)
    if not path:
        return None
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except OSError:
        return None
    request = json.dumps({"argv": argv, "cwd": str(Path.cwd()), "env": dict(os.environ)}) + "\n"
    fds = array.array("i", [sys.stdout.fileno(), sys.stderr.fileno()])
    data = request.encode()
    with connection:
        sent = connection.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds.tobytes())])
        connection.sendall(data[sent:])

        def interrupted(number: int, _: FrameType | None) -> None:
            connection.close()  # the worker sees it and ends the job
            sys.exit(128 + number)

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, interrupted)
        answer = connection.makefile().readline()
    return int(answer) if answer.strip() else 70


def started(plan: Plan, warm: bool = True) -> None:
    """Start a worker for the workflow run in this process (called when it starts).

    Without `warm`, as where a cluster runs the jobs, only the run itself is noted.
    """
    root = plan.root
    if not warm or os.environ.get(SOCKET) or os.environ.get("GPTBENCH_NO_WORKER"):
        lock.take(None)
        return
    folder = Path(tempfile.mkdtemp(prefix="gptbench-"))
    path = folder / "worker.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(128)
    log = root / "logs" / "worker.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "gptbench.worker",
                str(path),
                str(os.getpid()),
                str(listener.fileno()),
                str(plan.root),
                *([plan.config.tracking_uri] if plan.config.tracking_uri else []),
            ],
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
    listener.close()
    os.environ[SOCKET] = str(path)
    lock.take(process.pid)


def finished(plan: Plan, watch: Watch, ok: bool) -> None:
    """Log what was run to MLflow and say what came of it (called when the workflow ends)."""
    from gptbench import summary

    watch.stop()
    os.environ.pop(SOCKET, None)
    lock.release()
    started = time.time() - watch.elapsed
    models = ["--models"] if plan.config.tracking_models else []
    sync = track("sync", plan.root, plan.config.tracking_uri)
    subprocess.run([*sync, "--best-effort", *models], check=False)
    print("\n".join(["", *summary.lines(plan, watch, ok, started), ""]), file=sys.stderr)


def track(action: str, root: Path, uri: str | None) -> list[str]:
    """The command `gptbench track ACTION` for the results in `root`."""
    command = [sys.executable, "-m", "gptbench", "track", action, "--results", str(root)]
    return [*command, *(["--uri", uri] if uri else [])]


# The worker's side. --------------------------------------------------------------------------


class Worker:
    """Accepts jobs until the workflow's process is gone."""

    def __init__(
        self, path: Path, owner: int, listener: socket.socket, root: Path, uri: str | None
    ) -> None:
        self.path, self.owner, self.listener = path, owner, listener
        self.root, self.uri = root, uri
        self.selector = selectors.DefaultSelector()
        self.begun: dict[int, float] = {}
        self.looked = 0.0
        self.follower: subprocess.Popen[bytes] | None = None
        self.jobs: dict[int, socket.socket] = {}
        self.ending: dict[int, float] = {}

    def serve(self) -> None:
        """Import everything, then fork a process for each job."""
        for name in PRELOAD:
            importlib.import_module(name)
        gc.collect()
        gc.freeze()
        self.listener.setblocking(True)
        self.selector.register(self.listener, selectors.EVENT_READ)
        while self._owner_lives() or self.jobs:
            for key, _ in self.selector.select(timeout=0.02 if self.jobs else 0.5):
                if key.fileobj is self.listener:
                    self._accept()
                else:
                    self._client_gone(key.data)
            self._reap()
            self._follow()
            if not self._owner_lives():
                for pid in self.jobs:
                    self._end(pid)
        self.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()

    def _follow(self) -> None:
        """Once a job runs for long and shows itself, have one process log it while it runs."""
        from gptbench.training import live

        now = time.monotonic()
        if self.follower and self.follower.poll() is not None:
            self.follower = None
        if self.follower or now - self.looked < live.INTERVAL:
            return
        self.looked = now
        if not any(now - begun >= live.SECONDS for begun in self.begun.values()):
            return
        if live.find(self.root):
            command = track("follow", self.root, self.uri)
            self.follower = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def _owner_lives(self) -> bool:
        try:
            os.kill(self.owner, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        # A killed workflow can stay a zombie of its own parent.
        with contextlib.suppress(OSError):
            return Path(f"/proc/{self.owner}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        return True

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        data, ancillary, _, _ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(8))
        fds = array.array("i")
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
        while data and not data.endswith(b"\n"):
            part = connection.recv(1 << 16)
            if not part:
                break
            data += part
        if len(fds) != 2 or not data.endswith(b"\n"):
            connection.close()
            return
        pid = os.fork()
        if pid == 0:
            self._child(json.loads(data), fds)
        for fd in fds:
            os.close(fd)
        self.jobs[pid] = connection
        self.begun[pid] = time.monotonic()
        self.selector.register(connection, selectors.EVENT_READ, pid)

    def _child(self, request: dict[str, Any], fds: array.array[int]) -> None:
        status = 70
        try:
            os.setsid()
            self.listener.close()
            for other in self.jobs.values():
                other.close()
            os.dup2(fds[0], 1)
            os.dup2(fds[1], 2)
            os.chdir(request["cwd"])
            os.environ.clear()
            os.environ.update(request["env"])
            os.environ.pop(SOCKET, None)
            from gptbench import cli

            status = cli.main(request["argv"])
        except SystemExit as leaving:
            status = leaving.code if isinstance(leaving.code, int) else 1
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _client_gone(self, pid: int) -> None:
        connection = self.jobs[pid]
        with contextlib.suppress(OSError):
            if connection.recv(1):
                return
        self.selector.unregister(connection)
        self._end(pid)

    def _end(self, pid: int) -> None:
        """Ask a job to stop; insist after some seconds."""
        if pid not in self.ending:
            self.ending[pid] = time.monotonic()
            self._signal(pid, signal.SIGTERM)
        elif time.monotonic() - self.ending[pid] > GRACE:
            self._signal(pid, signal.SIGKILL)

    @staticmethod
    def _signal(pid: int, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, number)

    def _reap(self) -> None:
        for pid in list(self.ending):
            if pid in self.jobs:
                self._end(pid)
        while self.jobs:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if pid not in self.jobs:  # the follower, which may end while jobs run
                continue
            connection = self.jobs.pop(pid)
            self.begun.pop(pid)
            self.ending.pop(pid, None)
            with contextlib.suppress(KeyError, ValueError):
                self.selector.unregister(connection)
            code = os.waitstatus_to_exitcode(status)
            with contextlib.suppress(OSError):
                connection.sendall(f"{code if code >= 0 else 128 - code}\n".encode())
            connection.close()


def main() -> None:
    """`python -m gptbench.worker SOCKET OWNER FD ROOT [URI]`: serve until the owner is gone."""
    path, owner, fd, root, *uri = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    listener = socket.socket(fileno=int(fd))
    Worker(Path(path), int(owner), listener, Path(root), uri[0] if uri else None).serve()


if __name__ == "__main__":
    main()
