"""The command `openqueues`. Commands import what they need when they run, so that --help is quick."""

from __future__ import annotations

import argparse
import os
import sys
from difflib import get_close_matches

from openqueues.models.errors import InputError

TIERS = ("smoke", "standard", "paper")


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, like all others, with the nearest command or option."""

    def error(self, message: str):
        words = message.split("'")
        if message.startswith("argument") and "invalid choice" in message and len(words) > 2:
            known = [word for word in words[3::2]] or [
                w.strip() for w in message.partition("choose from")[2].strip(" )").split(",")
            ]
            near = get_close_matches(words[1], known, n=1)
            what = message.partition(":")[0].removeprefix("argument ")
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}."
            message = f"unknown {what} '{words[1]}': {hint}"
        raise InputError(message if message.endswith((".", "?")) else f"{message}: see `{self.prog} --help`.")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code. 0: done, 1: something failed, 2: the input was wrong."""
    try:
        chosen = _parser().parse_args(arguments)
        return chosen.act(chosen) or 0
    except InputError as error:
        print(f"openqueues: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): nothing is wrong, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(
            "openqueues: interrupted; finished cells are kept, and the same command goes on from there.",
            file=sys.stderr,
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="openqueues",
        description="Open problems of queueing with predictions and LLM serving, as experiments.",
        epilog="A command's own help: openqueues COMMAND --help",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(
        metavar="COMMAND", title="commands", dest="command", required=True, parser_class=_Parser
    )

    command = commands.add_parser("list", help="entries, and which questions they answer", allow_abbrev=False)
    command.add_argument(
        "--questions", action="store_true", help="the paper's 43 questions and what answers each"
    )
    command.add_argument("--json", action="store_true", help="JSON instead of a table")
    command.set_defaults(act=_list)

    command = commands.add_parser("run", help="simulate an entry and write its results", allow_abbrev=False)
    command.add_argument("entry", metavar="ENTRY", help="name of an entry, or id of the question it answers")
    command.add_argument(
        "--tier", choices=TIERS, default="standard", help="how long to simulate (default: standard)"
    )
    command.add_argument(
        "--policy", action="append", metavar="P", help="only this policy, by name or by file; may be repeated"
    )
    command.add_argument(
        "--experiment", action="append", metavar="E", help="only this experiment; may be repeated"
    )
    command.add_argument(
        "--results", default="results", metavar="DIR", help="folder for results (default: results)"
    )
    command.add_argument(
        "--cores", type=int, default=os.cpu_count() or 1, metavar="N", help="threads (default: all cores)"
    )
    command.add_argument(
        "--force", action="store_true", help="make cells again that are there and up to date"
    )
    command.add_argument(
        "--keep-going",
        action="store_true",
        help="write rows with status failed for a policy that fails, and exit with 0",
    )
    command.set_defaults(act=_run)
    return parser


def _list(chosen: argparse.Namespace) -> int:
    from openqueues import listing

    print(listing.questions(chosen.json) if chosen.questions else listing.entries(chosen.json))
    return 0


def _run(chosen: argparse.Namespace) -> int:
    from openqueues import progress

    return progress.run(chosen)
