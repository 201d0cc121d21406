# The GPT-1 paper as a workflow: `snakemake --cores all` runs the quick scale.
from pathlib import Path

from gptbench.plan import workflow_plan
from gptbench.worker import finished, started

if "scale" not in config:  # a scale file given with --configfile stands alone

    configfile: Path(workflow.basedir) / "config" / "config.yaml"


plan = workflow_plan(config, Path(workflow.basedir) / "config")


rule all:
    input:
        plan.root / "report" / "index.html",


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/tokenizer.smk"
include: "workflow/rules/corpus.smk"
include: "workflow/rules/contamination.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/finetune.smk"
include: "workflow/rules/zeroshot.smk"
include: "workflow/rules/fewshot.smk"
include: "workflow/rules/attention.smk"
include: "workflow/rules/report.smk"


onstart:
    started(plan.root)


onsuccess:
    finished(plan.root, plan.config.tracking_uri, ok=True)


onerror:
    finished(plan.root, plan.config.tracking_uri, ok=False)
