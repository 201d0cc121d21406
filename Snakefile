# The GPT-1 paper as a workflow: `snakemake --cores all` runs the quick scale.
from pathlib import Path

from gptbench.display import Watch
from gptbench.plan import workflow_plan
from gptbench.worker import finished, started

if "scale" not in config:  # a scale file given with --configfile stands alone

    configfile: Path(workflow.basedir) / "config" / "config.yaml"


report: "workflow/report/workflow.rst"


plan = workflow_plan(config, Path(workflow.basedir) / "config")
watch = Watch.attach(workflow, plan.root / "logs")


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
    started(plan, warm=workflow.local_exec)


onsuccess:
    finished(plan, watch, ok=True)


onerror:
    finished(plan, watch, ok=False)
