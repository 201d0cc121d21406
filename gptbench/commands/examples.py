"""What the help of a command ends with: examples to copy, and the exit statuses.

Each example is a command line that the parser takes (a test sees to it).
"""

from __future__ import annotations

STATUSES = """\
exit status:
  0    done
  1    a check ran and found faults (doctor, data check, submit check)
  2    a mistake that you can mend, in an option, a file or a setting:
       one line says which
  70   a fault of gptbench itself, with its traceback
  130  interrupted (Ctrl-C); training goes on from there when given again
"""

FIRST = """\
first steps:
  gptbench doctor            is everything there, and what will a run take
  gptbench plan              what `snakemake --cores all` would run
  gptbench table 5           what came out
  gptbench COMMAND --help    a command's options, with examples

`world` to `report` are the stages that the workflow runs. Each takes its job
as JSON (--settings): the `settings` of a result's manifest.json.
"""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "world": ("gptbench world --out my-world --seed 7",),
    "tokenizer": (
        "gptbench tokenizer import --vocab encoder.json --merges vocab.bpe --out tokenizer",
        "gptbench tokenizer encode --tokenizer results/quick/tokenizer < texts.jsonl",
    ),
    "data": (
        "gptbench data check --data DIR",
        "gptbench data check rte mrpc --data DIR --config config/local.yaml",
        "gptbench data preview rte --split dev --rows 2",
        "gptbench data fetch rte cola --out DIR",
    ),
    "tasks": ("gptbench tasks config/local.yaml --data-root DIR",),
    "weights": (
        "gptbench weights import model --out released",
        "gptbench weights export results/quick/pretrain/transformer/seed0 --format hf --out out",
    ),
    "perplexity": (
        "gptbench perplexity --model results/quick/pretrain/transformer/seed0 --text book.txt",
    ),
    "predict": (
        "gptbench predict --model results/quick/finetune/full/rte/pre0-seed0 rows.jsonl",
        "gptbench predict --model results/quick/finetune/full/rte/pre0-seed0 < rows.jsonl",
    ),
    "generate": (
        'gptbench generate --model results/quick/pretrain/transformer/seed0 --prompt "the cook"',
        "gptbench generate --model results/quick/pretrain/transformer/seed0 --temperature 0",
    ),
    "score": (
        "gptbench score --model results/quick/pretrain/transformer/seed0 --html s.html text.txt",
    ),
    "submit": (
        "gptbench submit glue --results results/paper --data DIR --out glue.zip",
        "gptbench submit check glue glue.zip",
    ),
    "table": (
        "gptbench table 5",
        "gptbench table averages --results results/showcase",
        "gptbench table 2 --format tex --out table2.tex",
    ),
    "compare": (
        "gptbench compare results/quick results/mine",
        "gptbench compare results/reference/local-seeds results/local",
        "gptbench compare results/local my-systems.csv --out comparison",
        "gptbench compare results/local paper",
    ),
    "track": (
        "gptbench track sync --results results/quick",
        "gptbench track ui",
    ),
    "doctor": (
        "gptbench doctor",
        "gptbench doctor config/local.yaml --data-root DIR",
    ),
    "plan": (
        "gptbench plan config/config.yaml my-ablation.yaml",
        "gptbench plan --study timeline",
    ),
    "completion": (
        "gptbench completion bash > ~/.local/share/bash-completion/completions/gptbench",
        "gptbench completion zsh > DIR/_gptbench    # a folder of zsh's fpath",
    ),
    "config": (
        "gptbench config check config/config.yaml my-ablation.yaml",
        "gptbench config schema --out schemas",
    ),
}


def epilog(command: str | None) -> str:
    """The end of a command's help; of the whole command line's without one."""
    if command is None:
        return f"{FIRST}\n{STATUSES}"
    lines = EXAMPLES.get(command, ())
    return "\n".join(["examples:", *(f"  {line}" for line in lines)]) if lines else ""
