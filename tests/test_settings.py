"""Settings: complete scales, one-line errors, canonical JSON, schemas made from the models."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gptbench.errors import UserError
from gptbench.plan import FinetuneRun, Plan
from gptbench.report import reference
from gptbench.settings import (
    Config,
    FinetuneJob,
    LstmSettings,
    load_tasks,
    parse,
    read_yaml,
    schemas,
)

CONFIG = Path(__file__).parent.parent / "config"
SCALES = ["config", "showcase", "local", "one-gpu", "paper"]


def read(scale: str) -> dict[str, Any]:
    data: dict[str, Any] = read_yaml(CONFIG / f"{scale}.yaml")
    return data | ({"data_root": "/data"} if data["source"] == "folder" else {})


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_is_complete_and_valid(scale: str) -> None:
    data = read(scale)
    plan = Plan.read(data, CONFIG, scale)
    assert set(data) >= set(Config.model_fields) - {"notes"} - Config.later, (
        "a scale leaves nothing to another"
    )
    assert {r.variant for r in plan.runs("table5")} == {
        "full",
        "no-pretraining",
        "no-aux-lm",
        "lstm",
    }
    assert len({r.task for r in plan.runs()}) == 12
    layers = plan.config.models["transformer"].backbone.n_layer
    assert {r.variant for r in plan.runs("figure2_left")} == {"full"} | {
        f"transfer-{n}" for n in range(layers)
    }


def test_the_paper_scale_has_the_papers_numbers() -> None:
    plan = Plan.read(read("paper"), CONFIG, "paper")
    job = plan.finetune_job(FinetuneRun("full", "mnli", 0, 0))
    assert (job.backbone.n_layer, job.backbone.n_embd, job.n_ctx) == (12, 768, 512)
    assert (job.finetune.lr, job.finetune.batch_size, job.finetune.epochs) == (6.25e-5, 32, 3)
    assert (job.finetune.warmup, job.lm_coef) == (0.002, 0.5)
    pretrain = plan.pretrain_job("transformer", 0).pretrain
    assert (pretrain.lr, pretrain.warmup_steps, pretrain.epochs) == (2.5e-4, 2000, 100)
    lstm = plan.pretrain_job("lstm", 0).backbone
    assert isinstance(lstm, LstmSettings)
    assert lstm.n_hidden == 2048


def departures(scale: str) -> dict[str, tuple[Any, Any]]:
    """The settings of `reference.yaml` that a scale departs from: (the paper's, its own)."""
    found = {}
    for setting in reference.load().settings:
        value: Any = read(scale)
        for part in setting.key.split("."):
            value = value.get(part)
        if setting.key.endswith("n_inner"):  # 4 x n_embd unless given
            value = value or 4 * read(scale)["models"]["transformer"]["backbone"]["n_embd"]
        if value != setting.paper:
            found[setting.key] = (setting.paper, value)
    return found


def test_the_paper_scale_has_every_setting_of_the_paper() -> None:
    assert departures("paper") == {}
    config = read("paper")
    assert config["limits"]["default"] == {"train": None, "eval": None}
    assert config["limits"]["zeroshot"] is None
    assert "tasks" not in config["limits"]
    # The LSTM is trained "using the same framework".
    transformer, lstm = (config["models"][name] for name in ("transformer", "lstm"))
    assert transformer["pretrain"] == lstm["pretrain"]


def test_one_gpu_departs_in_the_number_of_updates_alone() -> None:
    assert departures("one-gpu") == {
        "models.transformer.pretrain.epochs": (100, None),
        "models.transformer.pretrain.steps": (None, 100_000),
    }


def test_the_ablations_change_one_thing_each() -> None:
    plan = Plan.read(read("paper"), CONFIG, "paper")
    full, *others = (
        plan.finetune_job(FinetuneRun(name, "rte", 0, 0)).model_dump(exclude={"variant"})
        for name in ("full", "no-pretraining", "no-aux-lm", "lstm", "transfer-3")
    )
    changed = [{key for key in full if full[key] != other[key]} for other in others]
    assert changed == [{"pretrained"}, {"lm_coef"}, {"model", "backbone"}, {"transfer_layers"}]
    assert (full["pretrained"], full["transfer_layers"], full["lm_coef"]) == (True, None, 0.5)
    assert others[1]["lm_coef"] == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lm_coeff": 1}, "unknown key `lm_coeff`; did you mean `lm_coef`?"),
        ({"lm_coef": -1}, "key `lm_coef`: Input should be greater than or equal to 0"),
        ({"lm_coef": "half"}, "key `lm_coef`: Input should be a valid number"),
        ({"n_ctx": None}, "key `n_ctx`"),
        ({"studies": ["table6"]}, "studies: `table6` is not defined; did you mean `table"),
        ({"world": None}, "source is `world`, so the key `world` is needed"),
        ({"source": "folder"}, "data_root is needed"),
        (
            {
                "limits": {
                    "seed": 0,
                    "default": {"train": 9, "eval": 9},
                    "zeroshot": 1,
                    "tasks": {"mnly": {"train": 1, "eval": 1}},
                }
            },
            "did you mean `mnli`",
        ),
    ],
)
def test_a_wrong_key_or_value_is_one_line(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        Plan.read(read("config") | change, CONFIG, "config.yaml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_nested_wrong_key_names_its_path() -> None:
    data = read("config")
    data["models"]["transformer"]["pretrain"]["learning_rat"] = 1
    with pytest.raises(UserError, match=r"models\.transformer\.pretrain\.learning_rat"):
        Plan.read(data, CONFIG, "config.yaml")


def test_a_missing_key_is_named() -> None:
    data = read("config")
    del data["finetune"]["lr"]
    with pytest.raises(UserError, match=r"key `finetune\.lr` is missing"):
        Plan.read(data, CONFIG, "config.yaml")


def test_a_backbone_of_the_wrong_shape_is_refused() -> None:
    data = read("config")
    data["models"]["transformer"]["backbone"]["n_head"] = 7
    with pytest.raises(UserError, match="n_embd 96 is not a multiple of n_head 7"):
        Plan.read(data, CONFIG, "config.yaml")


def test_broken_yaml_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\nb: [\nc: 2\n")
    with pytest.raises(UserError, match=r"x\.yaml, line \d+: not YAML"):
        read_yaml(path)


def test_canonical_json_tells_exchanged_values_apart() -> None:
    plan = Plan.read(read("config"), CONFIG)
    job = plan.finetune_job(FinetuneRun("full", "mnli", 0, 1))
    exchanged = job.model_copy(update={"seed": job.pretrain_seed, "pretrain_seed": job.seed})
    assert job.to_json() != exchanged.to_json()
    assert FinetuneJob.from_json(job.to_json()) == job
    assert job.to_json() == json.dumps(
        json.loads(job.to_json()), sort_keys=True, separators=(",", ":")
    )


def test_lambda_reaches_only_the_runs_that_use_it() -> None:
    before = Plan.read(read("config"), CONFIG)
    after = Plan.read(read("config") | {"lm_coef": 0.25}, CONFIG)
    changed = {
        run.variant for run in before.runs() if before.finetune_job(run) != after.finetune_job(run)
    }
    assert changed == {run.variant for run in before.runs()} - {"no-aux-lm"}
    assert before.pretrain_job("transformer", 0) == after.pretrain_job("transformer", 0)
    assert before.encode_job("mnli") == after.encode_job("mnli")


def test_a_title_reaches_the_report_alone() -> None:
    plan = Plan.read(read("config"), CONFIG)
    tasks = load_tasks(CONFIG / "tasks.yaml")
    tasks["mnli"] = tasks["mnli"].model_copy(update={"title": "Another title"})
    other = Plan(plan.config, tasks, plan.experiments)
    run = FinetuneRun("full", "mnli", 0, 0)
    assert plan.finetune_job(run) == other.finetune_job(run)
    assert plan.encode_job("mnli") == other.encode_job("mnli")
    assert plan.report_job() != other.report_job()


def test_the_schemas_in_the_repository_are_made_from_the_settings() -> None:
    folder = CONFIG.parent / "workflow" / "schemas"
    for name, schema in schemas().items():
        assert json.loads((folder / name).read_text()) == schema, "run `gptbench config schema`"


def test_every_scale_passes_its_json_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    for scale in SCALES:
        jsonschema.validate(read(scale), schemas()["config.schema.json"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(read("config") | {"x": 1}, schemas()["config.schema.json"])


def test_a_task_of_a_known_format_is_a_few_lines() -> None:
    entry = yaml.safe_load(
        "{title: Mine, kind: classification, format: single, parser: tsv,"
        " columns: {text1: text, label: y}, labels: [no, yes], files: {train: a.tsv, dev: b.tsv},"
        " scored: {dev: [dev]}, metrics: [accuracy], paper_split: none, home: here}".replace(
            "[no, yes]", '["no", "yes"]'
        )
    )
    from gptbench.settings import TaskSpec

    assert parse(TaskSpec, {"name": "mine", **entry}, "tasks.yaml").labels == ["no", "yes"]
