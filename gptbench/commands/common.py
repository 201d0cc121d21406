"""What the commands share: a job's settings and its paths."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gptbench.errors import UserError

if TYPE_CHECKING:
    from gptbench.plan import Plan
    from gptbench.settings import Settings

    S = TypeVar("S", bound=Settings)

Arguments = argparse.Namespace
STAGE_PATHS = {
    "books": "books, in train/ and validation/ or as the settings say",
    "data": "folder with the data sets",
    "tokenizer": "folder of a tokenizer",
    "corpus": "folder of token shards, as `corpus` writes it",
    "task": "folder of an encoded data set",
    "tasks": "folder with the encoded data sets",
    "pretrained": "folder of a pre-trained model",
    "results": "a scale's results, results/<scale>",
    "out": "folder to write to",
}
CONFIG = Path(__file__).resolve().parents[2] / "config"


def data_of_argument(parser: argparse.ArgumentParser) -> None:
    """`--data-of`, for a stage that reads several data sets."""
    parser.add_argument(
        "--data-of",
        nargs="+",
        default=[],
        metavar="TASK=DIR",
        help="folders of data sets that are not below --data",
    )


def data_of(args: argparse.Namespace) -> dict[str, Path]:
    """The folders of `--data-of` by task."""
    roots = {}
    for each in args.data_of:
        name, mark, folder = each.partition("=")
        if not mark:
            raise UserError(f"--data-of {each}: TASK=DIR expected")
        roots[name] = Path(folder)
    return roots


def job_settings(cls: type[S], text: str) -> S:
    """A job's settings from JSON, or from the file named after an `@`."""
    if text.startswith("@"):
        path = Path(text[1:])
        try:
            return cls.from_json(path.read_text("utf-8"), str(path))
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from None
    return cls.from_json(text)


def job_arguments(parser: argparse.ArgumentParser, *paths: str) -> None:
    """`--settings` and the required `--<path>` options of a stage."""
    parser.add_argument(
        "--settings",
        required=True,
        metavar="JSON",
        help="the job's settings as JSON, or @FILE with them",
    )
    for path in paths:
        parser.add_argument(
            f"--{path}", type=Path, required=True, metavar="DIR", help=STAGE_PATHS[path]
        )


def scale_arguments(parser: argparse.ArgumentParser) -> None:
    """The config files of a scale (default: quick's) and what stands in for its `data_root`."""
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        default=[CONFIG / "config.yaml"],
        help="config files as for --configfile, later ones on top; default: config/config.yaml",
    )
    data_root_argument(parser)


def data_root_argument(parser: argparse.ArgumentParser) -> None:
    """`--data-root`."""
    parser.add_argument(
        "--data-root",
        metavar="DIR",
        help="folder with the data, in place of the config's data_root",
    )


def results_root_argument(parser: argparse.ArgumentParser) -> None:
    """`--results-root`."""
    parser.add_argument(
        "--results-root",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="folder of all scales' results; default: results",
    )


def cores_argument(parser: argparse.ArgumentParser) -> None:
    """`--cores`."""
    parser.add_argument("--cores", type=int, metavar="N", help="default: this machine's")


def scale_plan(files: Sequence[Path], data_root: str | Path | None) -> Plan:
    """The plan of a scale's config files, later ones on top; its data below `data_root`."""
    from gptbench.plan import Plan
    from gptbench.settings import merged_yaml

    data = merged_yaml(files)
    if data_root:
        data["data_root"] = str(data_root)
    return Plan.read(data, CONFIG, ", ".join(map(str, files)))
