"""The command `openqueues`. Commands import what they need when they run, so that --help is quick."""

from __future__ import annotations

import argparse
import os
import sys
from difflib import get_close_matches
from importlib import import_module

from openqueues import ONE_THREAD, WARM
from openqueues.models.errors import InputError

TIERS = ("smoke", "standard", "paper")
# Commands in modules of their own, which are imported when the command is given: name, module, help.
OWN = (
    ("plan", "plan_cli", "what a tier costs before it is run"),
    ("claim", "claim", "verify and record a policy that is better"),
    ("board", "board_cli", "the best policies of each entry, and records"),
    ("changes", "changes_cli", "which numbers moved between two folders of results"),
    ("attack", "attack_cli", "the worst instances found for a policy"),
    ("mg1", "mg1_cli", "response times of one queue with predictions"),
    ("llm", "llm_cli", "requests served by one language model"),
    ("hardware", "hardware_cli", "iteration-time laws from measured steps"),
    ("data", "data_cli", "public traces: what there is, fetching, verifying"),
    ("book", "book", "pages of entries, and the book made of them"),
)


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
        arguments, killed = sys.argv[1:] if arguments is None else arguments, False
        os.environ.update(ONE_THREAD)
        if WARM in os.environ and arguments[:1] in (["run"], ["book"]):
            from openqueues import warm

            code = warm.ask(arguments)
            if code not in (None, warm.KILLED):
                return code
            killed = code == warm.KILLED
        chosen = _parser(arguments[0] if arguments else "").parse_args(arguments)
        if killed:
            if not getattr(chosen, "keep_going", False):
                return 1
            chosen.killed = True
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


def _parser(command_name: str) -> argparse.ArgumentParser:
    """The parser; the commands of OWN add their options only when called."""
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
    command.add_argument("--questions", action="store_true", help="the paper's 43 questions and what answers each")
    command.add_argument("--json", action="store_true", help="JSON instead of a table")
    command.set_defaults(act=_list)

    command = commands.add_parser("run", help="simulate an entry and write its results", allow_abbrev=False)
    command.add_argument("entry", metavar="ENTRY", help="name of an entry, or id of the question it answers")
    command.add_argument("--tier", choices=TIERS, default="standard", help="how long to simulate (default: standard)")
    command.add_argument(
        "--policy", action="append", metavar="P", help="only this policy, by name or by file; may be repeated"
    )
    command.add_argument("--experiment", action="append", metavar="E", help="only this experiment; may be repeated")
    command.add_argument("--results", default="results", metavar="DIR", help="folder for results (default: results)")
    command.add_argument(
        "--cores", type=int, default=os.cpu_count() or 1, metavar="N", help="threads (default: all cores)"
    )
    command.add_argument("--force", action="store_true", help="make cells again that are there and up to date")
    command.add_argument(
        "--keep-going",
        action="store_true",
        help="write rows with status failed for a policy that fails, and exit with 0",
    )
    command.set_defaults(act=_run, killed=False)

    command = commands.add_parser("check", help="does an entry keep its contract?", allow_abbrev=False)
    command.add_argument("entry", nargs="?", metavar="ENTRY", help="name or question (default: all entries)")
    command.set_defaults(act=_check)

    command = commands.add_parser("new", help="start an entry or a policy", allow_abbrev=False)
    kinds = command.add_subparsers(metavar="KIND", dest="kind", required=True, parser_class=_Parser)
    kind = kinds.add_parser("problem", help="an entry of three small files", allow_abbrev=False)
    kind.add_argument("name", metavar="NAME", help="name of the new entry: lower case words joined by hyphens")
    kind.add_argument("--question", metavar="ID", help="question it answers (default: the first without an entry)")
    kind = kinds.add_parser("policy", help="one policy file of an entry", allow_abbrev=False)
    kind.add_argument("entry", metavar="ENTRY", help="name of an entry, or id of the question it answers")
    kind.add_argument("name", metavar="NAME", help="name of the new policy: lower case words joined by hyphens")
    command.set_defaults(act=_new)

    for name, module, text in OWN:
        command = commands.add_parser(name, help=text, allow_abbrev=False)
        if command_name == name:
            own = import_module(f"openqueues.{module}")
            own.add_arguments(command)
            command.set_defaults(act=own.run)
    return parser


def _list(chosen: argparse.Namespace) -> int:
    from openqueues import listing

    print(listing.questions(chosen.json) if chosen.questions else listing.entries(chosen.json))
    return 0


def _run(chosen: argparse.Namespace) -> int:
    from openqueues import progress

    return progress.run(chosen)


def _check(chosen: argparse.Namespace) -> int:
    from openqueues import registry
    from openqueues.check import check

    names = [registry.entry(chosen.entry).slug] if chosen.entry else registry.slugs()
    if not names:
        raise InputError(f"the folder {registry.problems_folder()} holds no entry.")
    failed = False
    for name in names:
        said = check(name)
        failed = failed or bool(said)
        for text in said:
            print(f"openqueues: {text}", file=sys.stderr)
        count = "ok" if not said else f"{len(said)} complaint{'s' if len(said) > 1 else ''}"
        print(f"{name}: {count}", flush=True)
    return 1 if failed else 0


def _new(chosen: argparse.Namespace) -> int:
    from openqueues import listing, scaffold

    if chosen.kind == "problem":
        files = scaffold.problem(chosen.name, chosen.question)
        follow = [f"openqueues check {chosen.name}", f"openqueues run {chosen.name} --tier smoke"]
    else:
        files = [scaffold.policy(chosen.entry, chosen.name)]
        follow = [
            f"openqueues check {chosen.entry}",
            f"openqueues run {chosen.entry} --policy {files[0].stem}",
        ]
    written = [listing.from_here(file) for file in files]
    print("Written:", *(f"  {file}" for file in written), "Next:", *(f"  {line}" for line in follow), sep="\n")
    return 0
