"""Policies: one short file each, the built-in ones in this folder and a contributor's anywhere.

The built-in policies of the queues stand here, those of the LLM engine in models/llm/policies; `model` says whose
names are meant, since some occur in both.

    SEES        the columns that the policy may look at, among size, predicted, arrival, age
    SHAPE       "falling": the rank never rises while a job is served; "general": it may, and then turn(...)
                gives the next age at which the rank changes direction or jumps; "sharing": no rank,
                processor sharing; "table": the rank of a table made for the law at hand, of the kind that
                the parameter `table` names; "decision": no rank but decide(...), whose columns and meaning
                belong to the model that asks (where to send a job, whether to predict it, ...);
                "order", "falling order": rank(...) of requests to a language model (models/llm/policies);
                "rounds": decide(view, plan, ...) of each of its iterations (models/llm/rounds.py);
                "router": score(...) of its instances (models/llm/routers), "controller": control(...) of their
                roles (models/llm/controllers), the shapes of files that give none and have these functions
    TIES        "first" (default) or "last" come first served among equal ranks; "last" also preempts
    PARAMETERS  further arguments of rank, with their defaults; given as name:parameter=value
    INFORMATION the class of its information (see Policy.information), where it does not follow from SEES
    rank(...)   the lowest is served; its arguments are the columns of SEES and the parameters
"""

from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from openqueues.models.errors import InputError, unknown
from openqueues.models.spec import check_keys, parse_spec

COLUMNS = ("size", "predicted", "arrival", "age")
# The functions that a file of each shape must have.
SHAPES = {
    "falling": ("rank",),
    "general": ("rank", "turn"),
    "sharing": (),
    "table": ("rank", "turn"),
    "decision": ("decide",),
    "order": ("rank",),
    "falling order": ("rank",),
    "rounds": ("decide",),
    "router": ("score",),
    "controller": ("control",),
}
# Shapes whose columns are those of the model that asks.
_OTHER_COLUMNS = ("decision", "order", "falling order", "rounds", "router", "controller")
INFORMATION = ("blind", "one bit", "predictions", "distributions", "oracle")
_RANKS = ("order", "falling order")
_LLM = (*_RANKS, "rounds")
# The switches of the LLM engine with their defaults, which every policy of it that ranks takes as further parameters.
SWITCHES = {"mechanism": "vllm", "memory": "recompute", "preempt": False, "reserve": "max", "prefix_cache": False}
# What is predicted, among the columns of the LLM engine.
FORECASTS = frozenset({"predicted", "score", "estimate", "peak_tokens", "predicted_low", "predicted_high"})
FORECASTS |= {"remaining_work", "remaining_path"}
# What tells of predictions among the columns of decide(...), beside the prediction itself.
_MADE_OF_PREDICTIONS = "work_predicted overdue overdues expected shortest late lates first earliest youngest".split()
PLANNING = "openqueues.models.llm.planning"
MOVES = frozenset("EVICT SWAP_OUT SWAP_IN step_ms blocks make_room go_on start peak".split())
"""What policies that plan iterations may import."""
_FOLDER = Path(__file__).parent
_BUILTIN = {"queue": _FOLDER, "llm": _FOLDER.parent / "llm" / "policies"}


@dataclass(frozen=True)
class Policy:
    """A policy read from its file; nothing of it has been executed."""

    name: str
    spec: str
    doc: str
    source: str
    sees: tuple[str, ...]
    shape: str
    newest_first: bool
    told: str
    arguments: tuple[str, ...]
    parameters: dict[str, Any]
    path: Path

    @property
    def information(self) -> str:
        """The information class that boards compare within, one of INFORMATION."""
        if self.shape in _LLM and self.parameters.get("reserve") in ("oracle", "pow2"):
            return "oracle"  # the engine then reserves memory by the true length
        return self.told or self.shown

    @property
    def shown(self) -> str:
        """The information class that follows from SEES."""
        truth, forecasts = {"size"}, frozenset({"predicted"})
        if self.shape == "decision":
            forecasts |= {*_MADE_OF_PREDICTIONS}
        if self.shape in _LLM:
            truth, forecasts = {"output_tokens", "left", "delay"}, FORECASTS | {"predicted_delay"}
        elif self.shape == "router":
            truth, forecasts = set(), frozenset({"predicted", "predicted_left"})
        elif self.shape == "controller":
            truth, forecasts = set(), frozenset({"arrived_predicted"})
        if truth & set(self.sees):
            return "oracle"
        if not forecasts & set(self.sees):
            return "blind"
        return "one bit" if self.path == _FOLDER / "onebit.py" else "predictions"

    @property
    def used(self) -> frozenset[str]:
        """Arguments of the functions that a model may call; of decide(view, ...) the fields of view that it reads."""
        found = _functions(ast.parse(self.source))
        functions = ("rank", "turn", "decide", "admit", "handle", "score", "accept", "learn", "control")
        if self.shape == "rounds":
            nodes = ast.walk(ast.parse(self.source))
            shared = ("todo", "held", "decoding") if PLANNING in self.source else ()
            return frozenset(node.attr for node in nodes if isinstance(node, ast.Attribute)).union(shared)
        return frozenset(name for one in functions for name in found.get(one, ()))


@cache
def names(model: str = "queue") -> tuple[str, ...]:
    """The names of a model's built-in policies."""
    others = ("__init__", "resolve", "table", "kbit-nonpreemptive")
    return tuple(sorted(path.stem for path in _BUILTIN[model].glob("*.py") if path.stem not in others))


def is_path(spec: str) -> bool:
    """Whether a policy is given as a Python file, as in `mine.py` or `mine.py:threshold=2`, not by name."""
    return split_path(spec)[0].endswith(".py")


def split_path(spec: str) -> tuple[str, str]:
    """(path of a file, `:` and its parameters); a path may hold a colon itself."""
    path, dot, rest = spec.strip().rpartition(".py")
    return (path + dot, rest) if dot and (not rest or rest.startswith(":")) else (spec, "")


def path_of(spec: str, folder: Path | None = None, model: str = "queue") -> Path:
    """The file of the policy that `spec` names: a path, one of `folder`'s files, or a built-in one of `model`."""
    if is_path(spec):
        path = Path(split_path(spec)[0])
        if not path.is_file():
            raise InputError(f"policy file '{path}' does not exist: give the path of a Python file.")
        return path
    name = spec.partition(":")[0].strip()
    if folder is not None and (folder / f"{name}.py").is_file():
        return folder / f"{name}.py"
    if name not in names(model):
        own = [path.stem for path in folder.glob("*.py")] if folder is not None else []
        raise unknown("policy", name, [*names(model), *own])
    return _BUILTIN[model] / f"{name}.py"


def policy(spec: str, folder: Path | None = None, model: str = "queue") -> Policy:
    """Read the policy that `spec` names, for example `sprpt`, `onebit:threshold=1.5` or `policies/mine.py`.

    `folder` holds further policies, found by their file's name; `model` is "queue" or "llm". Raises InputError
    with one sentence for an unknown name or parameter and for a file that breaks the contract.
    """
    path = path_of(spec, folder, model)
    name, given = parse_spec(path.stem + split_path(spec)[1] if is_path(spec) else spec, "policy")
    if name == "kbit" and given.get("preemptive") is False and path.parent == _FOLDER:
        path = _FOLDER / "kbit-nonpreemptive.py"
    read = _read(path)
    switches = SWITCHES if read["shape"] in _RANKS else {}
    check_keys(given, {**switches, **read["parameters"]}, f"policy '{name}'")
    return Policy(name=name, spec=spec, **{**read, "parameters": {**read["parameters"], **given}})


@cache
def _read(path: Path) -> dict[str, Any]:
    try:
        source = path.read_text()
        tree = ast.parse(source)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"policy file '{path}' cannot be read: {error}.") from None
    except SyntaxError as error:
        place = f"policy file '{path}' is not valid Python at line {error.lineno}"
        raise InputError(f"{place}: {error.msg}.") from None
    where = f"policy file '{path.name}'"
    constants: dict[str, Any] = {"PARAMETERS": {}, "TIES": "first", "INFORMATION": ""}
    functions = _functions(tree)
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id in ("SEES", "SHAPE", *constants):
                constants[node.targets[0].id] = _literal(node, where)
    for shape in ("router", "controller"):
        if SHAPES[shape][0] in functions:
            constants.setdefault("SHAPE", shape)
    _check_names(tree, where)
    _check_imports(tree, where)
    _check_constants(constants, where)
    shape, parameters = constants["SHAPE"], constants["PARAMETERS"]
    if shape == "table":
        if not isinstance(parameters.get("table"), str):
            raise InputError(f"{where} has SHAPE = 'table' but no PARAMETERS = {{'table': ...}} that names its kind.")
        shared = (_FOLDER / "table.py").read_text()
        source, shape = f"{source}\n\n{shared}", "general"
        functions |= _functions(ast.parse(shared))
    sees = tuple(constants["SEES"])
    columns = "" if shape in _OTHER_COLUMNS else f" (columns: {', '.join(COLUMNS)})"
    for name in SHAPES[shape]:
        if name not in functions:
            raise InputError(f"{where} has SHAPE = '{shape}' but no function {name}: write def {name}(...).")
        arguments = functions[name]
        if shape == "rounds":
            if arguments[:2] != ["view", "plan"]:
                raise InputError(f"{where}: decide takes {', '.join(arguments)}: begin with view and plan.")
            arguments = arguments[2:]
        for argument in arguments:
            if argument not in sees and argument not in parameters:
                raise InputError(
                    f"{where}: {name} takes '{argument}', which is neither in SEES nor in PARAMETERS: "
                    f"declare it in one of them{columns}."
                )
    if shape == "general" and functions["rank"] != functions["turn"]:
        raise InputError(f"{where}: turn takes other arguments than rank: give both the same ones.")
    return {
        "doc": ast.get_docstring(tree) or "",
        "source": source,
        "sees": sees,
        "shape": shape,
        "newest_first": constants["TIES"] == "last",
        "told": constants["INFORMATION"],
        "arguments": tuple(functions[SHAPES[shape][0]]) if SHAPES[shape] else (),
        "parameters": parameters,
        "path": path,
    }


def _functions(tree: ast.Module) -> dict[str, list[str]]:
    """The names of a module's functions, and of the arguments of each."""
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {node.name: [argument.arg for argument in node.args.args] for node in found}


def _literal(node: ast.Assign, where: str) -> Any:
    try:
        return ast.literal_eval(node.value)
    except ValueError:
        raise InputError(f"{where}: {node.targets[0].id} must be a plain constant, not computed.") from None


def _check_names(tree: ast.Module, where: str) -> None:
    """Refuse what hides a name of Python: a file is compiled in one module with the kernel, which would mean it too."""
    for node in tree.body:
        found = [node.name] if isinstance(node, ast.FunctionDef) else []
        if isinstance(node, ast.Assign):
            found = [part.id for target in node.targets for part in ast.walk(target) if isinstance(part, ast.Name)]
        if isinstance(node, ast.Import | ast.ImportFrom):
            found = [alias.asname or alias.name for alias in node.names]
        for name in found:
            if hasattr(builtins, name) or name.startswith("_"):
                raise InputError(f"{where} gives '{name}' a meaning of its own: choose another name.")


def _check_imports(tree: ast.Module, where: str) -> None:
    for node in ast.walk(tree):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or "."]
        for module in modules:
            if module.split(".")[0] not in ("math", "numpy", "__future__") and module != PLANNING:
                raise InputError(
                    f"{where} imports '{module}': a policy is one file of its own and may import only math "
                    "and numpy, since it is compiled into the kernel."
                )


def _check_constants(constants: dict[str, Any], where: str) -> None:
    if "SEES" not in constants:
        raise InputError(f"{where} does not say what it looks at: write, say, SEES = ('predicted', 'age').")
    sees = constants["SEES"]
    if not isinstance(sees, tuple | list) or not all(isinstance(column, str) for column in sees):
        raise InputError(f"{where}: SEES must be a tuple of column names, for example ('predicted',).")
    for column in sees if constants.get("SHAPE") not in _OTHER_COLUMNS else ():
        if column not in COLUMNS:
            raise unknown(f"column in SEES of {where}", column, COLUMNS)
    if constants["INFORMATION"] not in ("", *INFORMATION):
        raise unknown(f"INFORMATION of {where}", str(constants["INFORMATION"]), INFORMATION)
    if constants.get("SHAPE") not in SHAPES:
        raise InputError(f"{where}: SHAPE must be one of {', '.join(map(repr, SHAPES))}.")
    if constants["TIES"] not in ("first", "last"):
        raise InputError(f"{where}: TIES must be 'first' or 'last'.")
    if not isinstance(constants["PARAMETERS"], dict):
        raise InputError(f"{where}: PARAMETERS must be a table of names and defaults.")
    for name in constants["PARAMETERS"]:
        if not isinstance(name, str) or not name.isidentifier() or name in COLUMNS:
            raise InputError(f"{where}: PARAMETERS has '{name}', which is not a free name for an argument.")
