"""Who may import whom, read from the import statements; and what the quick commands must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from openqueues import plan

ROOT = Path(__file__).parents[1]
HEAVY = {"numba", "pandas", "scipy", "numpy", "pyarrow", "matplotlib"}
# What the harness may know of the models: errors, texts, seeds, policies as files, and the doors of the
# kernels and of the analysis; never a law, a kernel or a policy by name.
DOORS = {
    "openqueues.models",
    "openqueues.models.analysis",
    "openqueues.models.errors",
    "openqueues.models.laws",
    "openqueues.models.llm",
    "openqueues.models.policies",
    "openqueues.models.policies.resolve",
    "openqueues.models.queues",
    "openqueues.models.spec",
    "openqueues.models.streams",
}


def modules(folder: str) -> list[Path]:
    found = sorted(path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)
    assert found, f"{folder} holds no module"
    return found


def imports(path: Path) -> set[str]:
    """Modules that a file imports anywhere; those below openqueues in full, others by their first name."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module)
            if node.module in ("openqueues", "openqueues.models"):
                names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return {name if name.startswith(("openqueues", ".")) else name.partition(".")[0] for name in names}


def foreign(path: Path, allowed: set[str]) -> set[str]:
    return {name for name in imports(path) if name not in allowed and name not in sys.stdlib_module_names}


@pytest.mark.parametrize("path", modules("models"), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_models_know_nothing_above_themselves(path):
    known = {"numpy", "numba", "llvmlite", "scipy"}
    assert {name for name in foreign(path, known) if not name.startswith("openqueues.models")} <= set()


@pytest.mark.parametrize("path", modules("problems"), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_entries_know_the_models_their_own_folder_and_what_the_hashes_count(path):
    """Versions of these libraries are part of a cell's hash; of another one they would not be."""
    strange = {name for name in foreign(path, set(plan.LIBRARIES)) if not name.startswith("openqueues.models")}
    assert {name for name in strange if not (name.startswith(".") and not name.startswith(".."))} == set()


@pytest.mark.parametrize("path", modules("harness"), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_harness_names_no_entry_and_only_the_doors_of_the_models(path):
    ours = {name for name in imports(path) if name.startswith("openqueues")}
    assert not {name for name in ours if name.startswith("openqueues.problems")}
    assert {name for name in ours if name.startswith("openqueues.models")} <= DOORS
    text = path.read_text(encoding="utf-8")
    named = [entry.name for entry in (ROOT / "problems").iterdir() if (entry / "problem.toml").is_file()]
    assert not [name for name in named if f'"{name}"' in text or f"'{name}'" in text]


def test_the_reader_of_import_statements_sees_them_all(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "import scipy.special\nfrom openqueues import plan\nfrom . import own\n"
        "def f():\n    from openqueues.models.queues import simulate\n"
    )
    assert imports(path) == {"scipy", "openqueues", "openqueues.plan", ".", "openqueues.models.queues"}


@pytest.mark.parametrize(
    "code",
    [
        "from openqueues.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from openqueues import registry, plan; assert plan.cells('smoke') and registry.entries()",
        "from openqueues import listing; assert listing.entries(); assert listing.questions()",
    ],
    ids=["help", "plan", "list"],
)
def test_quick_commands_load_no_numerical_library_and_no_entry(code, tmp_path):
    entry = tiny.write(tmp_path, policies=("mine",))
    (entry / "problem.py").write_text("raise SystemExit('an entry was imported')\n")
    script = f"import os, sys; os.environ['OPENQUEUES_PROBLEMS'] = {str(tmp_path)!r}\n{code}\n"
    script += "print('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.rpartition("LOADED")[2].split())
    assert "openqueues" in loaded
    assert not HEAVY & loaded


def test_running_a_cell_loads_no_data_frames(tmp_path):
    tiny.write(tmp_path)
    script = (
        f"import os, sys; os.environ['OPENQUEUES_PROBLEMS'] = {str(tmp_path)!r}\n"
        "from openqueues.cli import main\n"
        f"assert main(['run', 'tiny', '--tier', 'smoke', '--results', {str(tmp_path / 'results')!r}]) == 0\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pyarrow" in done.stdout.split()
    assert not {"numba", "pandas", "scipy"} & set(done.stdout.split())
