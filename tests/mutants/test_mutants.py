"""What no test notices is reported, and so is what cannot be tried; neither hides the others."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.mutants.__main__ import Effort, Verdict, main, tried
from tests.mutants.mutant import Mutant, PatchMutant, PlantMutant, copy_tree, patches
from tests.mutants.nets import UnitTests, imports_of, module_of
from tests.simulation.planting import DoesNotApply
from tests.simulation.plants import PLANTS

ROOT = Path(__file__).parents[2]
QUICK = Effort(unit_s=8.0, simulate_s=5.0, both=False)

FILES = {
    "cluster/__init__.py": "",
    "cluster/sums.py": """
        def plus(a, b):
            return a + b


        def minus(a, b):
            return a - b
        """,
    "tests/unit/helper.py": "from cluster import sums\n",
    "tests/unit/test_sums.py": """
        from tests.unit.helper import sums


        def test_plus():
            assert sums.plus(1, 2) == 3
        """,
    "tests/unit/test_broken.py": """
        import cluster.sums


        def test_that_fails_anyway():
            assert cluster is None
        """,
    "tests/unit/test_other.py": "def test_other():\n    pass\n",
    "tests/simulation/sweep.py": """
        import json, sys
        from cluster.sums import minus

        good = minus(3, 2) == 1
        found = {"caught": False} if good else {"caught": True, "world": "w", "seed": 7,
                 "operations": 9, "seen": "stale"}
        print(json.dumps(found))
        """,
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small project with the same folders."""
    tree = tmp_path / "project"
    for name, text in FILES.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))
    git(tree, "init", "-q")
    return tree


def git(tree: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=tree, check=True, capture_output=True, text=True, timeout=30
    )
    return done.stdout


def patch(root: Path, folder: Path, name: str, old: str, new: str) -> PatchMutant:
    path = root / "cluster" / "sums.py"
    before = path.read_text()
    git(root, "add", "-A")
    path.write_text(before.replace(old, new))
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.patch").write_text(git(root, "diff"))
    path.write_text(before)
    return PatchMutant(folder / f"{name}.patch")


def verdicts(root: Path, mutants: list[Mutant]) -> tuple[dict[str, Verdict], str]:
    said: list[str] = []
    found = tried(mutants, root, QUICK, 2, said.append)
    return {verdict.mutant: verdict for verdict in found}, "\n".join(said)


@pytest.mark.timeout(300)
def test_each_kind_of_end(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "patches"
    patch(root, folder, "a unit test", "a + b", "a * b")
    patch(root, folder, "b simulation", "a - b", "b - a")
    patch(root, folder, "c survives", "\n\n\n", "\n\n\nMORE = 1\n\n\n")
    patch(root, folder, "d hangs", "return a + b", "while True:\n        pass")
    patch(root, folder, "e does not apply", "return a + b", "return 5")
    path = folder / "e does not apply.patch"
    path.write_text(path.read_text().replace("-    return a + b", "-    return a // b"))
    (folder / "f is no patch.patch").write_text("nothing\n")
    found, said = verdicts(root, list(patches(folder)))
    assert "test_sums.py::test_plus" in found["a unit test"].catches[0].by
    simulated = found["b simulation"].catches[0]
    assert (simulated.by, simulated.seed, simulated.operations) == ("simulation, w", 7, 9)
    assert str(found["c survives"]).endswith("SURVIVED")
    assert not found["c survives"].good
    assert "do not end within 8 s" in found["d hangs"].catches[0].seen
    for name in ("e does not apply", "f is no patch"):
        assert "DOES NOT APPLY" in str(found[name])
        assert not found[name].good
    assert "left out" in said
    assert "test_broken.py" in said, "a test that fails anyway catches nothing"


def test_a_survivor_makes_the_command_fail(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.mutants.__main__.ROOT", root)
    folder = tmp_path / "patches"
    patch(root, folder, "survives", "\n\n\n", "\n\n\nMORE = 1\n\n\n")
    assert main([str(folder), "--jobs", "1", "--simulate-s", "5"]) == 1
    assert "1 mutants, 0 caught\n    survives" in capsys.readouterr().out
    assert main([str(folder), "--only", "nothing"]) == 2


def test_a_simulation_that_fails_anyway_catches_nothing(root: Path) -> None:
    (root / "tests" / "simulation" / "sweep.py").write_text("raise SystemExit('no')\n")
    with pytest.raises(RuntimeError, match="fails without any mutant: no"):
        verdicts(root, [])


def test_a_copy_has_what_is_not_committed_and_not_what_is_ignored(
    root: Path, tmp_path: Path
) -> None:
    (root / ".gitignore").write_text("kept-out\n")
    (root / "kept-out").write_text("x")
    (root / "new").write_text("x")
    (root / "cluster" / "sums.py").unlink()
    copy = copy_tree(root, tmp_path / "copy")
    assert (copy / "new").exists()
    assert not (copy / "kept-out").exists()
    assert not (copy / "cluster" / "sums.py").exists()


def test_tests_are_chosen_by_what_they_import(root: Path) -> None:
    unit = UnitTests(root)
    assert unit.of(["cluster/sums.py"]) == ["tests/unit/test_broken.py", "tests/unit/test_sums.py"]
    assert unit.of(["cluster/others.py"]) == []
    assert module_of("client/src/paceline/dax/__init__.py") == "paceline.dax"
    assert imports_of("import a.b\nfrom c import d") == {"a.b", "c", "c.d"}


def test_plants_are_applied_to_a_copy_as_they_are_to_a_run(tmp_path: Path) -> None:
    """Every one of the project's own, so that none is left out for its form."""
    tree = copy_tree(ROOT, tmp_path / "tree")
    for plant in PLANTS:
        mutant = PlantMutant(plant, ROOT)
        before = {path: (tree / path).read_text() for path in mutant.touched()}
        mutant.apply(tree)
        for path, text in before.items():
            changed = (tree / path).read_text()
            assert changed != text, plant.name
            compile(changed, path, "exec")
            (tree / path).write_text(text)
    mutant.apply(tree)
    with pytest.raises(DoesNotApply):
        mutant.apply(tree)  # the text is gone


def test_the_sweep_runs_with_this_python() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.sweep", "--seconds", "0.1"],
        cwd=ROOT,
        env={"PYTHONHASHSEED": "0", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"caught": false, "runs": 1' in done.stdout
