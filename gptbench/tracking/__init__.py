"""The view in MLflow of what the result files say; no other module knows MLflow.

Files are the truth: jobs write their results to files, and `sync` logs afterwards, in one
process, whatever is not logged yet. Only jobs that run for long are logged while they run, by a
process of its own (`follow`). Nothing is lost when a server is away.

A scale is one experiment (`gptbench/<scale>`), a reproduction one parent run in it, with a run
for each stage below it and the stage's jobs below that. Runs carry our own id as the tag
`gptbench.run_id`. A ledger beside the results (`tracking.json`) says what is logged where, so
that a sync with nothing new ends without importing MLflow.
"""

from gptbench.tracking.follow import follow
from gptbench.tracking.sync import Summary, sync
from gptbench.tracking.ui import ui

__all__ = ["Summary", "follow", "sync", "ui"]
