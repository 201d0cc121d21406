"""Kept weights as MLflow's logged models, on request: named and linked, never copied."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptbench.artifacts import read_json
from gptbench.tracking.datasets import Data, data_of
from gptbench.tracking.jobs import Job, final_metrics, pending

if TYPE_CHECKING:
    from mlflow import MlflowClient

WEIGHTS = "model.safetensors"
# Settings that describe a model.
PARAMS = tuple("model variant n_ctx lm_coef transfer_layers backbone. pretrain. finetune.".split())
TAGS = ("run_id", "scale", "stage", "folder", "model", "variant", "task", "seed", "pretrain_seed")


def unregistered(jobs: Sequence[Job], entry: Mapping[str, Any]) -> list[Job]:
    """The jobs whose kept weights are not registered yet."""
    return [
        job
        for job in pending(jobs, entry, "models")
        if job.stage in ("pretrain", "finetune") and (job.folder / WEIGHTS).exists()
    ]


class Models:
    """Registers weights of one reproduction; `entry` is its part of the ledger."""

    def __init__(self, client: MlflowClient, results: Path, entry: dict[str, Any]) -> None:
        self.client, self.results, self.entry = client, results, entry
        self.found: dict[str, str] = {}
        if "models" not in entry:  # the first time, or the ledger was lost
            entry["models"] = {}
            self.found = dict(self._registered())

    def _registered(self) -> Iterator[tuple[str, str]]:
        """Models that are there: source run and model id."""
        token = None
        while True:
            page = self.client.search_logged_models([self.entry["experiment"]], page_token=token)
            for model in page:
                if model.source_run_id:
                    yield model.source_run_id, model.model_id
            token = page.token
            if not token:
                return

    def log(self, job: Job) -> None:
        """Register a job's weights, with its settings, its scores and the data they are on."""
        from mlflow.entities import LoggedModelOutput

        run = self.entry["runs"][job.key]["mlflow"]
        old = self.entry["models"].get(job.key)
        model = self.found.get(run)
        if model is None:
            weights = job.folder / WEIGHTS
            told = job.tags(self.results.name, "")
            tags = {f"gptbench.{key}": told.get(f"gptbench.{key}") for key in TAGS}
            tags["gptbench.weights"] = f"{self.results.name}/{job.key}/{WEIGHTS}"
            tags["gptbench.bytes"] = str(weights.stat().st_size)
            tags["mlflow.model.isExternal"] = "true"
            made = self.client.create_logged_model(
                self.entry["experiment"],
                name=re.sub(r"[^\w-]+", "-", job.name),
                source_run_id=run,
                tags={key: value for key, value in tags.items() if value is not None},
                params={k: v for k, v in job.params().items() if k.startswith(PARAMS)},
                model_type=job.stage,
            )
            model = made.model_id
            final = read_json(job.folder / "metrics.json")
            step = int(final.get("steps") or 0)
            self._metrics(job, run, model, final, step)
            self.client.log_outputs(run, [LoggedModelOutput(model, step)])
            self.client.finalize_logged_model(model, "READY")
        if old and old["model"] != model:
            self.client.set_logged_model_tags(old["model"], {"gptbench.superseded": "true"})
        self.entry["models"][job.key] = {
            "run_id": job.run_id,
            "started": job.started,
            "model": model,
        }

    def _metrics(self, job: Job, run: str, model: str, final: Mapping[str, Any], step: int) -> None:
        """The final numbers again, tied to the model; the run's own history stays as it is."""
        from mlflow.entities import Metric

        data = {each.name: each for each in data_of(self.results, job)}
        end = int(job.ended * 1000)
        metrics = []
        for name, value, at in final_metrics(final, step):
            on = measured_on(job, name, data)
            place = {"dataset_name": on.name, "dataset_digest": on.short} if on else {}
            metrics.append(Metric(name, value, end, at, model_id=model, run_id=run, **place))
        self.client.log_batch(run, metrics=metrics)


def measured_on(job: Job, metric: str, data: Mapping[str, Data]) -> Data | None:
    """The split that a number of metrics.json was measured on, where it is a single one."""
    if job.stage == "pretrain" and metric in ("validation_loss", "perplexity"):
        return next((each for each in data.values() if each.context == "validation"), None)
    parts = metric.split("/")
    if job.stage == "finetune" and parts[0] in ("scores", "n", "degenerate") and len(parts) > 1:
        task = job.manifest["settings"]["task"]
        splits = task.get("scored", {}).get(parts[1], [])
        if len(splits) == 1:
            return data.get(f"{task['name']}/{splits[0]}")
    return None
