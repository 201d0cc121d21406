# Paths and targets that the stages share.

import os

from gptbench.plan import FinetuneRun
from gptbench.sizes import request_mb

ROOT = str(plan.root)
DATA = str(plan.data_root)
BOOKS = str(plan.data_root / "books")

# What a training or scoring job asks of a cluster; a run on one machine takes no notice. A job
# that the limit cuts off goes on where it was when it is tried again.
TRAINING_MB = request_mb(plan)
TRAINING_MINUTES = 24 * 60


wildcard_constraints:
    model=r"[a-z0-9-]+",
    variant=r"[a-z0-9-]+",
    task=r"[a-z0-9_]+",
    p=r"\d+",
    k=r"\d+",


def out(wildcards, output):
    """The folder of a rule's outputs."""
    return str(Path(output[0]).parent)


def folder(name):
    """The folder of the input `name`."""
    return lambda wildcards, input: str(Path(input[name]).parent)


def option(word, name):
    """A command line option with the folder of the input `name`; nothing where it is empty."""
    return lambda wildcards, input: [word, str(Path(input[name]).parent)] if input[name] else []


def shown(path, caption, category, subcategory=None, **labels):
    """A path that `snakemake --report` shows; its caption is a file of `workflow/report`."""
    return report(
        path,
        caption=f"../report/{caption}.rst",
        category=category,
        subcategory=subcategory,
        labels=labels,
    )


def one_of(names):
    """The pattern of these names; one that nothing fits where there are none."""
    return "|".join(sorted(names)) or "(?!)"


def run_outputs(runs):
    """The metrics of fine-tuning runs."""
    return [f"{ROOT}/{run.path}/metrics.json" for run in runs]


def zeroshot_outputs(study=None):
    """The scores of the zero-shot study."""
    return [f"{ROOT}/zeroshot/{m}/seed{p}/metrics.json" for m, p in plan.zeroshot_models(study)]


def fewshot_outputs(study=None):
    """The scores with examples in the context."""
    return [f"{ROOT}/fewshot/{m}/seed{p}/metrics.json" for m, p in plan.fewshot_models(study)]


def attention_outputs():
    """What the report shows of the inside of a model; nothing where no model has attention."""
    return [f"{ROOT}/attention/{m}/seed{p}/attention.json" for m, p in plan.attention_models()]


def study_inputs(study):
    """What one table or figure needs."""
    return run_outputs(plan.runs(study)) + zeroshot_outputs(study) + fewshot_outputs(study)


def book_files():
    """The books by path: what the tokenizer and the corpus are made of."""
    if plan.config.synthetic:
        counts = {
            "train": plan.config.world.books_train,
            "validation": plan.config.world.books_validation,
        }
        return [
            f"{DATA}/books/{split}/book-{n:04d}.txt"
            for split, count in counts.items()
            for n in range(count)
        ]
    if plan.config.corpus.source is not None:
        return []
    return books_below(Path(BOOKS))


def books_below(folder):
    """The files of a folder of books."""
    return [str(path) for path in plan.books_below(folder)]


def task_files(task):
    """The files of one data set."""
    return [str(path) for path in plan.task_files(task)]


def world_files():
    """The files of the data sets that the embedded world writes."""
    return sorted({path for t in plan.tasks if t not in plan.own for path in task_files(t)})


def data_folders(tasks):
    """The data's folder, and an option with the folders of those sets that are not in it."""
    roots = {task: plan.task_root(task) for task in tasks}
    found = [f"{task}={root}" for task, root in roots.items() if root != plan.data_root]
    return [DATA, "--data-of", *found] if found else DATA


def this_run(wildcards):
    """The run that the wildcards name."""
    return FinetuneRun(wildcards.variant, wildcards.task, int(wildcards.p), int(wildcards.k))


def pretrained_model(wildcards):
    """The variant's pre-trained weights; none for one that starts from scratch."""
    variant = plan.variant(wildcards.variant)
    if not variant.pretrained:
        return []
    return f"{ROOT}/pretrain/{variant.model}/seed{wildcards.p}/model.safetensors"


for study in plan.config.studies:

    rule:
        name:
            study
        input:
            study_inputs(study),


for task in sorted({run.task for run in plan.runs()}):

    rule:
        name:
            task
        input:
            run_outputs([run for run in plan.runs() if run.task == task]),
