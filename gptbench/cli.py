"""The command line: `gptbench STAGE`. Every rule of the workflow calls one, and a person can too.

Imports are inside the stages, so that a command starts in a few hundredths of a second where the
warm worker does its work (`worker.py`).
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from gptbench import worker
from gptbench.errors import UserError

if TYPE_CHECKING:
    from gptbench.settings import Settings

    S = TypeVar("S", bound=Settings)

Arguments = argparse.Namespace
STAGES: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {}


def _settings(cls: type[S], text: str) -> S:
    """A job's settings from JSON, or from the file named after an `@`."""
    if text.startswith("@"):
        path = Path(text[1:])
        try:
            return cls.from_json(path.read_text("utf-8"), str(path))
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from None
    return cls.from_json(text)


def _job(parser: argparse.ArgumentParser, *paths: str) -> None:
    parser.add_argument(
        "--settings", required=True, help="the job's settings as JSON, or @FILE with them"
    )
    for path in paths:
        parser.add_argument(f"--{path}", type=Path, required=True, metavar="PATH")


def _world(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--settings", help="a WorldJob as JSON, or @FILE; default: quick's world")
    parser.add_argument("--seed", type=int, help="another seed than the settings'")

    def run(args: Arguments) -> None:
        from gptbench.data.world import write_world
        from gptbench.plan import Plan
        from gptbench.settings import WorldJob, read_yaml

        if args.settings:
            world = _settings(WorldJob, args.settings).world
        else:
            world = Plan.read(read_yaml(CONFIG / "config.yaml"), CONFIG).world_job().world
        if args.seed is not None:
            world = world.model_copy(update={"seed": args.seed})
        write_world(args.out, **world.model_dump())
        print(f"world: {args.out} (synthetic, seed {world.seed})")

    parser.set_defaults(run=run)


def _gates(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="a folder `gptbench world` wrote")
    parser.add_argument("--out", type=Path, help="JSON file to write the table to")

    def run(args: Arguments) -> None:
        from gptbench.artifacts import write_json
        from gptbench.data.tasks import load_examples
        from gptbench.evaluation import gates
        from gptbench.settings import load_tasks

        rows = []
        for name, task in load_tasks(CONFIG / "tasks.yaml").items():
            if name == "dprd":
                continue
            for score, splits in task.scored.items():
                if len(task.scored) > 1 and score not in ("dev_matched", "test"):
                    continue
                test = [e for split in splits for e in load_examples(task, split, args.data)]
                train = load_examples(task, task.train, args.data)
                rows += gates.gate(task, train, test)
        print(gates.table(rows))
        if args.out:
            write_json(args.out, rows)

    parser.set_defaults(run=run)


def _tokenizer(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    train = actions.add_parser("train", help="learn the merges from the training books")
    _job(train, "books", "out")

    def run(args: Arguments) -> None:
        from gptbench.data import tokenizer
        from gptbench.settings import TokenizerJob

        tokenizer.run_train(_settings(TokenizerJob, args.settings), args.books, args.out)

    train.set_defaults(run=run)
    take = actions.add_parser("import", help="take over a released vocabulary and its merges")
    take.add_argument("--vocab", type=Path, required=True, help="JSON: symbol to id")
    take.add_argument("--merges", type=Path, required=True, help="text: one merge a line")
    take.add_argument("--out", type=Path, required=True, help="folder to write to")

    def take_over(args: Arguments) -> None:
        from gptbench.data import tokenizer

        taken = tokenizer.import_files(args.vocab, args.merges, args.out)
        print(f"tokenizer: {len(taken.merges)} merges, {taken.vocab_size} symbols in {args.out}")

    take.set_defaults(run=take_over)
    for name, form in (
        ("encode", 'JSON lines {"text": ...} on standard input to {"ids": [...]}'),
        ("decode", 'JSON lines {"ids": [...]} on standard input to {"text": ...}'),
    ):
        action = actions.add_parser(name, help=form, description=form + ".")
        action.add_argument("--tokenizer", type=Path, required=True, metavar="DIR")
        action.set_defaults(run=_lines, action=name)


def _lines(args: Arguments) -> None:
    """Line by line, so that a program at the other end of a pipe gets each answer at once."""
    from gptbench.data import tokenizer

    if sys.stdin is None:
        raise UserError("standard input is closed; pipe JSON lines into it")
    change = {"encode": tokenizer.encode_lines, "decode": tokenizer.decode_lines}[args.action]
    for line in change(tokenizer.Tokenizer.load(args.tokenizer), sys.stdin.buffer):
        print(line, flush=True)


def _corpus(parser: argparse.ArgumentParser) -> None:
    _job(parser, "books", "tokenizer", "out")

    def run(args: Arguments) -> None:
        from gptbench.data import corpus
        from gptbench.settings import CorpusJob

        corpus.run(_settings(CorpusJob, args.settings), args.books, args.tokenizer, args.out)

    parser.set_defaults(run=run)


def _encode(parser: argparse.ArgumentParser) -> None:
    _job(parser, "data", "tokenizer", "out")

    def run(args: Arguments) -> None:
        from gptbench.data import inputs
        from gptbench.settings import EncodeJob

        inputs.run(_settings(EncodeJob, args.settings), args.data, args.tokenizer, args.out)

    parser.set_defaults(run=run)


def _pretrain(parser: argparse.ArgumentParser) -> None:
    _job(parser, "corpus", "out")

    def run(args: Arguments) -> None:
        from gptbench.settings import PretrainJob
        from gptbench.training import pretrain

        pretrain.run(_settings(PretrainJob, args.settings), args.corpus, args.out)

    parser.set_defaults(run=run)


def _finetune(parser: argparse.ArgumentParser) -> None:
    _job(parser, "task", "out")
    parser.add_argument("--pretrained", help="folder of a pre-trained model; empty for none")

    def run(args: Arguments) -> None:
        from gptbench.settings import FinetuneJob
        from gptbench.training import finetune

        pretrained = Path(args.pretrained) if args.pretrained else None
        finetune.run(_settings(FinetuneJob, args.settings), args.task, pretrained, args.out)

    parser.set_defaults(run=run)


def _zeroshot(parser: argparse.ArgumentParser) -> None:
    _job(parser, "pretrained", "tasks", "tokenizer", "out")

    def run(args: Arguments) -> None:
        from gptbench.evaluation import zeroshot
        from gptbench.settings import ZeroshotJob

        job = _settings(ZeroshotJob, args.settings)
        zeroshot.run(job, args.pretrained, args.tasks, args.out, tokenizer=args.tokenizer)

    parser.set_defaults(run=run)


def _weights(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    take = actions.add_parser("import", help="the released archive, or a transformers folder")
    take.add_argument("path", type=Path, help="params_0.npy ... params_shapes.json, or config.json")
    take.add_argument("--out", type=Path, required=True, help="folder of a pre-trained model")
    take.add_argument("--tokenizer", type=Path, help="its vocabulary's folder; default: PATH")
    take.add_argument("--heads", type=int, help="attention heads; default: 64 states each")
    take.add_argument("--settings", help="an ImportJob as JSON, or @FILE; default: what is found")

    def run(args: Arguments) -> None:
        from gptbench.models import exchange
        from gptbench.settings import ImportJob

        job = _settings(ImportJob, args.settings) if args.settings else None
        exchange.import_weights(args.path, args.out, args.tokenizer, job, args.heads)

    take.set_defaults(run=run)
    give = actions.add_parser("export", help="for transformers, or in the released layout")
    give.add_argument("model", type=Path, help="folder of a pre-trained or fine-tuned model")
    give.add_argument("--format", choices=("hf", "released"), required=True)
    give.add_argument("--out", type=Path, required=True, help="folder to write to")
    give.add_argument("--tokenizer", type=Path, help="default: tokenizer/ in or above the model's")

    def export(args: Arguments) -> None:
        from gptbench.models import exchange

        exchange.export_weights(args.model, args.out, args.format, args.tokenizer)

    give.set_defaults(run=export)


def _perplexity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="folder of a pre-trained model")
    parser.add_argument("--text", type=Path, required=True, help="a UTF-8 text file")
    parser.add_argument("--stride", type=int, help="tokens a window moves; default: half a context")
    parser.add_argument(
        "--tokenizer", type=Path, help="default: tokenizer/ in or above the model's"
    )

    def run(args: Arguments) -> None:
        import json

        from gptbench.evaluation import perplexity

        found = perplexity.measure(args.model, args.text, args.stride, args.tokenizer)
        print(json.dumps(found, indent=2))

    parser.set_defaults(run=run)


def _report(parser: argparse.ArgumentParser) -> None:
    _job(parser, "results")

    def run(args: Arguments) -> None:
        from gptbench.report import build
        from gptbench.settings import ReportJob

        build.run(_settings(ReportJob, args.settings), args.results)

    parser.set_defaults(run=run)


def _track(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    sync = actions.add_parser("sync", help="log to MLflow what is not logged yet")
    sync.add_argument("--results", type=Path, required=True, help="a folder results/<scale>")
    sync.add_argument("--uri", help="a tracking server; default: results/mlflow.db")
    sync.add_argument(
        "--best-effort", action="store_true", help="a server that is away is not an error"
    )

    def run(args: Arguments) -> None:
        from gptbench import tracking

        tracking.sync(args.results, args.uri, best_effort=args.best_effort)

    sync.set_defaults(run=run)
    ui = actions.add_parser("ui", help="serve the MLflow UI on 127.0.0.1")
    ui.add_argument("--results-root", type=Path, default=Path("results"))
    ui.add_argument("--port", type=int, default=5000)

    def serve(args: Arguments) -> None:
        from gptbench import tracking

        tracking.ui(args.results_root, args.port)

    ui.set_defaults(run=serve)


def _config(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="check a scale's config file")
    check.add_argument("file", type=Path)
    check.add_argument("--data-root", help="stands in for the file's data_root")

    def run(args: Arguments) -> None:
        from gptbench.plan import Plan
        from gptbench.settings import read_yaml

        data = read_yaml(args.file)
        if args.data_root:
            data["data_root"] = args.data_root
        plan = Plan.read(data, CONFIG, str(args.file))
        print(
            f"{args.file}: scale {plan.config.scale}, {len(plan.pretrained())} models to pre-train"
            f" or import, {len(plan.runs())} fine-tuning runs"
        )

    check.set_defaults(run=run)
    schema = actions.add_parser("schema", help="write the JSON schemas made from the settings")
    schema.add_argument("--out", type=Path, default=CONFIG.parent / "workflow" / "schemas")

    def write(args: Arguments) -> None:
        from gptbench.artifacts import write_json
        from gptbench.settings import schemas

        for name, content in schemas().items():
            write_json(args.out / name, content)

    schema.set_defaults(run=write)


CONFIG = Path(__file__).resolve().parent.parent / "config"
STAGES.update(
    world=("write the embedded world: books and tasks in the original formats", _world),
    gates=("what bag of words and the second text alone reach on the embedded world", _gates),
    tokenizer=("byte-pair encoding: train, import, encode, decode", _tokenizer),
    corpus=("books to token shards", _corpus),
    encode=("one data set to token ids", _encode),
    pretrain=("pre-train one model (L1)", _pretrain),
    finetune=("fine-tune and score one run (L3)", _finetune),
    zeroshot=("score the checkpoints of a model without fine-tuning", _zeroshot),
    weights=("weights from elsewhere and for elsewhere: import, export", _weights),
    perplexity=("perplexity of a pre-trained model on a text, as JSON", _perplexity),
    report=("tables, figures and the page", _report),
    track=("MLflow: sync, ui", _track),
    config=("check a config file, write the schemas", _config),
)


def build_parser(stage: str | None = None) -> argparse.ArgumentParser:
    """The parser; only `stage` is spelled out where one is given."""
    parser = argparse.ArgumentParser(
        prog="gptbench", description="A reproducible benchmark and ablation pipeline for GPT-1."
    )
    parser.add_argument("--log", type=Path, help="file that gets a copy of what is printed")
    stages = parser.add_subparsers(title="stages", metavar="STAGE", required=True, dest="stage")
    for name, (text, add) in STAGES.items():
        sub = stages.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if stage in (None, name):
            add(sub)
    return parser


class Tee:
    """A text stream that also writes to a log file."""

    def __init__(self, stream: TextIO, log: TextIO) -> None:
        self.stream, self.log = stream, log

    def write(self, text: str) -> int:
        """Write to both."""
        self.log.write(text)
        return self.stream.write(text)

    def flush(self) -> None:
        """Flush both."""
        self.log.flush()
        self.stream.flush()

    def isatty(self) -> bool:
        """A logged job prints lines, not bars."""
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def _logged(path: Path | None) -> Iterator[None]:
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    streams = sys.stdout, sys.stderr
    with path.open("w", encoding="utf-8", buffering=1) as log:
        sys.stdout, sys.stderr = Tee(streams[0], log), Tee(streams[1], log)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = streams


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0, 2 for a user's mistake, 130 when interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    stage = next((word for word in arguments if word in STAGES), None)
    # The worker's jobs have no standard input.
    reads = stage == "tokenizer" and {"encode", "decode"} & set(arguments)
    if stage in worker.WARM and not reads and not {"-h", "--help"} & set(arguments):
        status = worker.delegate(arguments)
        if status is not None:
            return status
    args = build_parser(stage).parse_args(arguments)
    with ExitStack() as stack:
        try:
            stack.enter_context(_logged(args.log))
            args.run(args)
        except UserError as error:
            print(f"gptbench: {error}", file=sys.stderr)
            return 2
        except BrokenPipeError:
            os.close(sys.stdout.fileno())
            return 1
        except OSError as error:
            if error.filename is None and error.errno is None:
                raise
            print(f"gptbench: {error.filename or 'file'}: {error.strerror}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("gptbench: interrupted; the same command goes on from here", file=sys.stderr)
            return 130
        except Exception:  # a fault of ours: all of it, into the log too
            traceback.print_exc()
            return 1
    return 0
