"""What the file of a policy that is claimed may hold: numbers, arithmetic and plain control flow, and nothing else.

Some models compile a policy, others call it in plain Python, where whoever reaches a module reaches the machine. So all
that is not listed here is refused, before anything of the file is run: then it cannot read a size through a frame, ask
a clock, keep something from one replication to the next or write to a file. The walls (sandbox.py) are for what slips
through.
"""

from __future__ import annotations

import ast
import builtins
import math
from pathlib import Path

from openqueues.models.errors import InputError
from openqueues.models.policies import MOVES, PLANNING

_BUILTINS = frozenset("abs bool divmod enumerate float int len max min pow range round sum zip".split())
_OF_NUMPY = frozenset(
    "abs arange argmax argmin argsort array ceil clip cumsum e exp expm1 flip floor full hypot inf isfinite isinf "
    "isnan log log1p log2 maximum mean median minimum nan ones pi power searchsorted sign sort sqrt std sum var where "
    "zeros float64 int64".split()
)
_MAKE_ARRAYS = frozenset("arange argsort array cumsum flip full ones searchsorted sort where zeros".split())
_OF_ARRAYS = frozenset("all any argmax argmin argsort copy cumsum max mean min size std sum var".split())
_MODULES = {"math": frozenset(name for name in dir(math) if name[0] != "_"), "numpy": _OF_NUMPY, PLANNING: MOVES}
_OPERATORS = (ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context)
_STATEMENTS = (ast.Assign, ast.AugAssign, ast.Return, ast.If, ast.For, ast.While, ast.Break, ast.Continue, ast.Pass)
_EXPRESSIONS = (ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Call, ast.keyword, ast.Tuple)
_EXPRESSIONS += (ast.Subscript, ast.Slice, ast.List)
_WORDS = ("inf", "stable", "mergesort")  # of float(...) and of argsort(kind=...)
_VALUES = (ast.Constant, ast.Tuple, ast.UnaryOp, ast.USub, ast.UAdd, ast.Load)
_TABLES = ("PARAMETERS", "SEES")  # may hold a dict, a list: no function may name them


def plain(file: Path, shape: str) -> None:
    """Raise InputError, a sentence with the line, for a file of a policy of this SHAPE that does more than decide."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    modules, known = {}, set()
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            _import(node, file, modules, known)
        elif isinstance(node, ast.FunctionDef):
            known.add(_name(node.name, node, file))
        elif isinstance(node, ast.Assign):
            known.update(_constant(node, file))
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            raise _more(node, file)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            _function(node, file, modules, known - {*_TABLES, "SHAPE", "INFORMATION", "TIES"})
    if shape != "rounds":
        _no_arrays(tree, file, known)


def _import(node: ast.Import | ast.ImportFrom, file: Path, modules: dict[str, str], known: set[str]) -> None:
    """Note what is imported: math and numpy under their usual names, or single names of theirs."""
    for alias in node.names:
        if isinstance(node, ast.Import):
            if (alias.name, alias.asname) not in (("math", None), ("numpy", None), ("numpy", "np")):
                raise InputError(
                    f"{_at(node, file)}: a policy may import only math and numpy, as `import math` and "
                    f"`import numpy as np`: take '{alias.name}' out."
                )
            modules[alias.asname or alias.name] = alias.name
        elif node.module not in _MODULES or alias.name not in _MODULES[node.module] or alias.asname:
            _refuse_random(f"{node.module}.{alias.name}".split("."), node, file)
            raise InputError(
                f"{_at(node, file)}: a policy may import numbers and functions of numbers of math and numpy: take "
                f"'{alias.name}' of {node.module} out."
            )
        else:
            known.add(alias.name)


def _constant(node: ast.Assign, file: Path) -> list[str]:
    """The names that a constant is given; its value is written out, so that nothing is computed to load the file."""
    names = [target.id if isinstance(target, ast.Name) else "" for target in node.targets]
    kinds = (*_VALUES, ast.Dict, ast.List) if names[0] in _TABLES else _VALUES
    if not all(names) or not all(isinstance(part, kinds) for part in ast.walk(node.value)):
        raise _more(node, file)
    return [_name(name, node, file) for name in names]


def _function(node: ast.FunctionDef, file: Path, modules: dict[str, str], known: set[str]) -> None:
    given = node.args
    arguments = [argument.arg for argument in given.args]
    extra = [*given.posonlyargs, *given.kwonlyargs, given.vararg, given.kwarg, *given.defaults, *given.kw_defaults]
    notes = [node.returns, *(argument.annotation for argument in given.args)]
    if node.decorator_list or any(part is not None for part in [*extra, *notes]):
        raise _more(node, file)
    stored = [part for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)]
    own = {*arguments, *(part.id for part in stored)}
    if "view" in (part.id for part in stored) or own & modules.keys():
        raise InputError(
            f"{_at(node, file)}: view and the names of modules are taken: give what is stored another name."
        )
    body = node.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    for part in (part for statement in body for part in ast.walk(statement)):
        _part(part, file, modules, own, known)


def _part(node: ast.AST, file: Path, modules: dict[str, str], own: set[str], known: set[str]) -> None:
    """Refuse what a function may not hold."""
    if isinstance(node, ast.Name):
        fine = node.id in own or node.id in known or node.id in _BUILTINS or node.id in modules
        if not fine:
            raise _reaches(node.id, node, file)
    elif isinstance(node, ast.Attribute):
        _attribute(node, file, modules)
    elif isinstance(node, ast.Constant):
        if not isinstance(node.value, bool | int | float) and node.value not in _WORDS:
            raise InputError(f"{_at(node, file)}: a policy computes with numbers: take {node.value!r} out.")
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
        root = node.value
        while isinstance(root, ast.Subscript | ast.Attribute):
            root = root.value
        if not (isinstance(root, ast.Name) and root.id in own):
            raise InputError(
                f"{_at(node, file)}: a policy writes to what it is given or has made in the same function: what "
                "it wants to keep has its place in the model's memory, where it has one."
            )
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        pass
    elif not isinstance(node, (*_OPERATORS, *_STATEMENTS, *_EXPRESSIONS)):
        raise InputError(
            f"{_at(node, file)}: a policy is made of assignments, if, for, while, return and arithmetic: take "
            f"what Python calls {type(node).__name__} out."
        )


def _attribute(node: ast.Attribute, file: Path, modules: dict[str, str]) -> None:
    """Of a module the functions listed above, of `view` its columns, of all else what arrays of numbers have."""
    base = node.value.id if isinstance(node.value, ast.Name) else ""
    _refuse_random([node.attr], node, file)
    if base in modules:
        allowed = node.attr in _MODULES[modules[base]]
    else:
        allowed = node.attr[0] != "_" if base == "view" else node.attr in _OF_ARRAYS
    if not allowed or not isinstance(node.ctx, ast.Load):
        raise _reaches(node.attr, node, file)


def _no_arrays(tree: ast.Module, file: Path, known: set[str]) -> None:
    """Refuse arrays but `memory` and in policies of SHAPE "rounds": elsewhere nothing checks their indices."""
    for node in (part for one in tree.body if isinstance(one, ast.FunctionDef) for part in ast.walk(one)):
        name = node.attr if isinstance(node, ast.Attribute) else ""
        if isinstance(node, ast.Name) and node.id in known:
            name = node.id
        if isinstance(node, ast.Subscript):
            fine = isinstance(node.value, ast.Name) and node.value.id in ("memory", *known)
        else:
            fine = name not in _MAKE_ARRAYS and not isinstance(node, ast.List)
        if not fine:
            raise InputError(
                f"{_at(node, file)}: arrays are for policies that plan iterations (SHAPE = 'rounds'): this one "
                "has numbers, constants written out as tuples, and the model's memory, where it has one."
            )


def _refuse_random(names: list[str], node: ast.AST, file: Path) -> None:
    if "random" in names:
        raise InputError(
            f"{_at(node, file)}: a policy may not draw numbers of its own, for the same seed must give the same "
            "decisions: use the column of random numbers of the model, where it has one."
        )


def _name(name: str, node: ast.AST, file: Path) -> str:
    """A name that the file gives to something; it may not hide what Python or the model means by it."""
    if name in dir(builtins) or name.startswith("_"):
        raise InputError(f"{_at(node, file)}: the name '{name}' is taken: choose another one.")
    return name


def _reaches(name: str, node: ast.AST, file: Path) -> InputError:
    return InputError(
        f"{_at(node, file)}: a policy decides from its arguments alone, with arithmetic, math and numpy: it may not "
        f"use '{name}'."
    )


def _more(node: ast.AST, file: Path) -> InputError:
    return InputError(
        f"{_at(node, file)}: a policy that is claimed may hold constants, functions without decorators, defaults or "
        "annotations, and imports of math and numpy: move what is computed into a function."
    )


def _at(node: ast.AST, file: Path) -> str:
    return f"{file.name}, line {node.lineno}"
