"""Arguments that several commands share."""

import argparse

STUDY = "a study file, the name of a study in the store, or of a packaged one"


def study(parser: argparse.ArgumentParser) -> None:
    """A study, and where its store is."""
    parser.add_argument("study", metavar="STUDY", help=STUDY)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="KEY=VALUE",
        help="change a key of the study, such as confirm.seeds=3 (repeatable)",
    )
    machine(parser)


def machine(parser: argparse.ArgumentParser) -> None:
    """What belongs to this machine."""
    group = parser.add_argument_group("this machine (else from profile and ABLATE_* variables)")
    group.add_argument("--profile", help="table of ~/.config/ablate/profiles.toml")
    group.add_argument("--store", help="folder that holds studies (default: ablate-store)")
    group.add_argument("--tracking-uri", help="MLflow (default: a SQLite file in the store)")
    group.add_argument(
        "--data",
        action="append",
        metavar="ROOT",
        help="folder that holds tasks by name (repeatable)",
    )
    group.add_argument(
        "--models",
        action="append",
        metavar="ROOT",
        help="folder that holds backbones by name (repeatable)",
    )


def as_json(parser: argparse.ArgumentParser) -> None:
    """Output for programs."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def packs(parser: argparse.ArgumentParser) -> None:
    """How many trials train together."""
    parser.add_argument("--pack", metavar="N", help="trials trained together; default: auto")
    parser.add_argument(
        "--gpu-memory", type=float, metavar="GIB", help="of each GPU, to predict packs by"
    )


def price(parser: argparse.ArgumentParser) -> None:
    """What a device costs."""
    parser.add_argument(
        "--price-per-gpu-hour", type=float, metavar="AMOUNT", help="of one device, for costs"
    )


def placement(parser: argparse.ArgumentParser) -> None:
    """Where trials train, and until when."""
    parser.add_argument("--address", help="Ray cluster; default: a Ray of this run alone")
    parser.add_argument("--device", help="auto, cpu or cuda (default: auto)")
    parser.add_argument("--cpus", type=float, help="CPUs of the local Ray")
    parser.add_argument("--gpus", type=float, help="GPUs of the local Ray")
    parser.add_argument("--cpus-per-trial", type=float, help="default: 1")
    parser.add_argument("--gpus-per-trial", type=float, help="default: 1 where there are GPUs")
    packs(parser)
    parser.add_argument("--max-gpus", type=float, help="GPUs used at once; default: all")
    price(parser)
    parser.add_argument("--max-cost", type=float, metavar="AMOUNT", help="stop there, to continue")
    parser.add_argument("--deadline", metavar="TIME", help="stop then: '2026-03-01 18:00', or 8h")
    parser.add_argument(
        "--spool", action="store_true", help="start although the tracking server does not answer"
    )
    parser.add_argument(
        "--in-process",
        action="store_true",
        help="train one trial after another in this process, without Ray",
    )


def head(parser: argparse.ArgumentParser) -> None:
    """Where to ask when the store is elsewhere."""
    parser.add_argument(
        "--address", help="of the cluster to ask, where its store cannot be seen from here"
    )
