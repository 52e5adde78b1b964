"""The command line. Only names and help live here; a command's code is imported when it runs."""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence

from ablate import arguments
from trials.errors import NO_ROOM, UserError, printable

Add = Callable[[argparse.ArgumentParser], None]


def _plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY", nargs="?", help=arguments.STUDY)
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of studies")
    arguments.packs(parser)
    arguments.price(parser)
    arguments.as_json(parser)
    arguments.machine(parser)


def _run(parser: argparse.ArgumentParser) -> None:
    arguments.study(parser)
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="only two steps, evaluation, saving and export of every cell, in this process",
    )
    parser.add_argument(
        "--detach",
        action="store_true",
        help="as a job of the cluster at --address, which outlives this terminal",
    )
    # What a job of `--detach` is started with: its id.
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments.placement(parser)


def _status(parser: argparse.ArgumentParser) -> None:
    arguments.study(parser)
    parser.add_argument("--watch", action="store_true", help="stay, and show it live")
    arguments.head(parser)
    arguments.as_json(parser)


def _logs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY", help=arguments.STUDY)
    parser.add_argument("--follow", action="store_true", help="wait for more")
    parser.add_argument("--errors", action="store_true", help="only warnings and errors")
    arguments.head(parser)
    arguments.as_json(parser)
    arguments.machine(parser)


def _stop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY", help=arguments.STUDY)
    arguments.head(parser)
    arguments.machine(parser)


def _show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trial", metavar="TRIAL", help="the beginning of a trial's id")
    parser.add_argument("--study", help="search this study only")
    arguments.as_json(parser)
    arguments.machine(parser)


def _retry(parser: argparse.ArgumentParser) -> None:
    arguments.study(parser)
    parser.add_argument("--trial", action="append", default=[], help="only these (repeatable)")


def _best(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("studies", metavar="STUDY", nargs="+", help="names of studies")
    parser.add_argument(
        "--by",
        metavar="FACTOR",
        help="the best of each level of a factor (another column: rank by it)",
    )
    parser.add_argument("--where", help='such as "rank <= 8 and trainable_parameters < 1e6"')
    parser.add_argument("--top", type=int, help="rows of each task (default: 10; with --by: 1)")
    parser.add_argument(
        "--pareto", action="store_true", help="only what nothing of no more cost surely beats"
    )
    parser.add_argument(
        "--against",
        metavar="COST",
        default="trainable_parameters",
        help="trainable_parameters (default), seconds or peak_memory_bytes",
    )
    parser.add_argument(
        "--cheapest", action="store_true", help="only the cheapest within noise of the best"
    )
    parser.add_argument("--study", metavar="OUT.yaml", help="write a study that trains them again")
    _tracked(parser)


def _compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY", help="name of a study")
    for name in ("treatment", "control"):
        parser.add_argument(
            name,
            metavar=name.upper(),
            help="KEY=VALUE[,...], an arm's label or id, or a method",
        )
    parser.add_argument("--margin", type=float, help="largest difference that does not matter")
    parser.add_argument("--level", type=float, help="confidence of intervals (default: 0.95)")
    _tracked(parser)


def _tracked(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--refresh", action="store_true", help="read MLflow anew, not only what has changed"
    )
    arguments.as_json(parser)
    arguments.machine(parser)


def _report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY", nargs="?", help=arguments.STUDY)
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    _from(parser, "; or `mlflow`, for a STUDY whose journal is elsewhere")
    parser.add_argument(
        "--metric", help="judge by this one instead of the primary one, as exploratory findings"
    )
    parser.add_argument("--margin", type=float, help="largest difference that does not matter")
    parser.add_argument("--level", type=float, help="confidence of intervals (default: 0.95)")
    parser.add_argument("--digits", type=int, help="decimals of scores in tables")
    parser.add_argument("--out", metavar="DIR", help="folder to write (default: the study's own)")
    arguments.as_json(parser)
    arguments.machine(parser)


def _from(parser: argparse.ArgumentParser, use: str) -> None:
    """Results from anywhere, what their columns are, and what to compare with."""
    parser.add_argument(
        "--from",
        dest="table",
        metavar="FILE",
        help="a CSV, Parquet or JSON table, results of PEFT's method comparison (a file or a "
        f"folder), Optuna's trials (CSV, storage or its URL), or W&B's runs (CSV, JSON){use}",
    )
    table = parser.add_argument_group("with --from (repeatable)")
    table.add_argument(
        "--baseline",
        action="append",
        default=[],
        metavar="KEY=VALUE[,...]",
        help="pattern of the arms to compare with",
    )
    for flag, to, metavar, help_text in (
        (
            "--column",
            "columns",
            "NAME=COLUMN",
            "read COLUMN as NAME, such as score or seed",
        ),
        ("--value", "values", "NAME=VALUE", "the same in every row, such as num_examples=277"),
        ("--drop", "dropped", "COLUMN", "leave this column out"),
    ):
        table.add_argument(
            flag, action="append", default=[], dest=to, metavar=metavar, help=help_text
        )


def _counts(text: str) -> list[int]:
    """`5,10,20` as numbers."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected N[,...], but got {text}") from None


def _power(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY", nargs="?", help=f"a pilot: {arguments.STUDY}")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    _from(parser, ", of a pilot")
    group = parser.add_argument_group("assumptions (in the metric's unit)")
    group.add_argument("--effect", type=float, help="mean difference (default: one sd of it)")
    group.add_argument("--sd", type=float, help="of each arm from seed to seed")
    group.add_argument("--correlation", type=float, help="of the arms over seeds (default: 0)")
    group.add_argument("--margin", type=float, help="of equivalence (default: one sd of it)")
    group.add_argument("--ratio", type=float, help="of the arms' sds (default: 2)")
    group.add_argument(
        "--seeds", type=_counts, metavar="N[,...]", help="default: 3,5,8,10,15,20,30,50"
    )
    group.add_argument("--comparisons", type=int, help="adjusted together (default: the pilot's)")
    group.add_argument("--power", type=float, default=0.8, help="wanted (default: 0.8)")
    group.add_argument("--level", type=float, help="confidence of intervals (default: 0.95)")
    parser.add_argument("--out", metavar="FILE", help="draw the curves as this .svg or .pdf file")
    arguments.as_json(parser)
    arguments.machine(parser)


def _count(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backbone", required=True, help="name, folder or hub id")
    parser.add_argument("--method", required=True)
    parser.add_argument("--targets", required=True, help="names or a preset, separated by commas")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="KEY=VALUE",
        help="a field of the method (repeatable)",
    )
    head = parser.add_mutually_exclusive_group()
    head.add_argument("--labels", type=int, default=2, help="labels of the head (default: 2)")
    head.add_argument("--task", help="count the head of this task: a name or a folder")
    arguments.as_json(parser)
    arguments.machine(parser)


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        metavar="TRIAL|STUDY",
        help="the beginning of a trial's id; with --optuna or --peft-comparison, a study",
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--to", metavar="DIR", help="folder to write a trial to")
    target.add_argument(
        "--optuna", metavar="FILE", help="write a study's searches for optuna-dashboard (.db, .log)"
    )
    target.add_argument(
        "--peft-comparison",
        metavar="DIR",
        help="write a study's results as those of PEFT's method comparison",
    )
    parser.add_argument("--merged", action="store_true", help="the whole model, update merged in")
    parser.add_argument("--study", help="search this study only")
    arguments.as_json(parser)
    arguments.machine(parser)


def _reproduce(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trial", metavar="TRIAL", help="the beginning of a trial's id")
    parser.add_argument("--study", help="search this study only")
    parser.add_argument("--device", help="auto, cpu or cuda (default: auto)")
    arguments.as_json(parser)
    arguments.machine(parser)


def _list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("methods", "tasks", "studies", "targets"))
    arguments.as_json(parser)
    arguments.machine(parser)


def _check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE", help="a method's .py, a task's folder or name, or a study"
    )
    group = parser.add_argument_group("of a task")
    group.add_argument(
        "--backbone", default="tiny", help="whose tokens are counted (default: tiny)"
    )
    group.add_argument(
        "--use", action="append", default=[], metavar="FILE", help="a file of its metrics"
    )
    group.add_argument(
        "--max-length", type=int, default=128, metavar="N", help="tokens of a row (default: 128)"
    )
    arguments.as_json(parser)
    arguments.machine(parser)


def _doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY", nargs="?", help=arguments.STUDY)
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    parser.add_argument("--mend", action="store_true", help="mend what can be mended")
    parser.add_argument("--address", help="Ray cluster, to see whether it answers")
    parser.add_argument("--device", help="auto, cpu or cuda (default: auto)")
    arguments.as_json(parser)
    arguments.machine(parser)


def _init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=("study", "task", "method"), nargs="?", default="study")
    parser.add_argument("name", metavar="NAME")


def _demo(parser: argparse.ArgumentParser) -> None:
    arguments.machine(parser)
    arguments.placement(parser)


COMMANDS: dict[str, tuple[str, Add]] = {
    "demo": ("run the embedded study: a minute or two, no network", _demo),
    "init": ("write a commented study, task or method to start from", _init),
    "plan": ("what a study would run; runs nothing", _plan),
    "run": ("run, resume or extend a study, then write its report", _run),
    "status": ("where each cell of a study stands, and what its engines do", _status),
    "logs": ("what the runs of a study have to say, and why trials failed", _logs),
    "stop": ("stop a run where its trials are evaluated next; asked again: at once", _stop),
    "show": ("one trial whole", _show),
    "retry": ("let failed trials run again", _retry),
    "best": ("the best configurations, from MLflow", _best),
    "compare": ("two arms or groups of arms on shared seeds, from MLflow", _compare),
    "report": ("findings and page, of a study or of any table", _report),
    "power": ("the effect that so many seeds can show, and the seeds that it needs", _power),
    "export": (
        "a trial as a LoRA of the peft library or merged; a study for Optuna or PEFT's comparison",
        _export,
    ),
    "reproduce": ("train a trial again, alone, and compare", _reproduce),
    "count": ("how many numbers a method trains on a backbone", _count),
    "list": ("methods, tasks, studies or targets", _list),
    "check": ("check a method, a task or a study of one's own", _check),
    "doctor": ("look over installation, store and study, and mend what can be", _doctor),
}


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    root = argparse.ArgumentParser(
        prog="ablate",
        description="Which fine-tuning method wins on your model and task, by how much, and is "
        "it more than noise?",
        epilog="exit status: 0 all done, 2 a mistake in what was asked, 3 done with failed "
        "trials, 4 stopped but resumable",
    )
    root.add_argument("--version", action="store_true", help="print the version")
    commands = root.add_subparsers(dest="command", metavar="COMMAND")
    for name, (help_text, add) in COMMANDS.items():
        add(commands.add_parser(name, help=help_text, description=help_text))
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; a user's mistake is printed without a traceback.

    Returns:
        The exit status: 0 all done, 2 the user's mistake, 3 done with failed trials, 4 stopped.
    """
    root = parser()
    given = root.parse_args(arguments)
    if given.version:
        from ablate.answers import package_version

        print(package_version())  # noqa: T201
        return 0
    if given.command is None:
        root.print_help()
        return 2
    command = importlib.import_module(f"ablate.commands.{given.command}")
    try:
        return int(command.run(given))
    except UserError as error:
        for problem in error.problems:
            sys.stderr.write(f"{printable(str(problem))}\n")
        return 2
    except BrokenPipeError:
        # Whoever read the output has left; nothing more can be said to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        place = f" {error.filename}" if error.filename else ""
        sys.stderr.write(f"cannot write{place}: {error.strerror}; the same command continues\n")
        return 4
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command continues\n")
        return 4
