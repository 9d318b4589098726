"""Take the guards of `guards.py` away one at a time, and see that the named test notices: `make mutants`.

Each mutant is a copy of src/ in a folder of its own. The test has to pass on an unchanged copy, and to fail on the
mutant by itself: code that does not compile, or cannot be imported, proves nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

from consuming_guards import OF_LOOPS

from door_guards import OF_THE_DOOR
from function_guards import OF_FUNCTIONS
from guards import ASKED_FOR, EXTRA, SOURCE, Mutant
from nesting_guards import OF_NESTING

OUR_OWN = (*EXTRA, *OF_THE_DOOR, *OF_FUNCTIONS, *OF_NESTING, *OF_LOOPS)
ROOT = SOURCE.parent
SECONDS = 60  # that one test may take
#: What says that the mutant is broken, rather than unguarded.
BROKEN = re.compile(r"SyntaxError|ImportError|ModuleNotFoundError|NameError|compiling script|nonexistent global")
#: Says whose code is tested, here and in the executors, before the tests run.
RUN = """
import subprocess, sys, mlq_cli, pytest
child = [sys.executable, "-P", "-c", "import mlq_cli.worker.child as it; print(it.__file__)"]
print("tests", mlq_cli.__file__, subprocess.run(child, capture_output=True, text=True, check=True).stdout, flush=True)
sys.exit(pytest.main(sys.argv[1:]))
"""


def run(source: Path, tests: Sequence[str]) -> tuple[dict[str, str], str]:
    """Run tests on that copy; returns what failed, by the name of the test's function, and all that was said.

    Raises RuntimeError when the tests could not be run, or ran on other code.
    """
    report = source.parent / "report.xml"
    options = ["-q", "-p", "no:cacheprovider", f"--timeout={SECONDS}", f"--junitxml={report}", "-m", ""]
    # a test of the suite's own servers and workers must find this copy too, whatever process it starts
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", RUN, *options, *(f"tests/{test}" for test in tests)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    said = done.stdout + done.stderr
    whose = re.match(r"tests (\S+) (\S+)", said)
    if not whose or any(not path.startswith(str(source)) for path in whose.groups()):
        raise RuntimeError(f"the tests ran on other code:\n{said[:500]}")
    if done.returncode not in (0, 1):
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{said[-1500:]}")
    failed = {}
    for case in ElementTree.parse(report).iter("testcase"):
        if (failure := case.find("failure")) is not None:
            failed[case.attrib["name"].partition("[")[0]] = failure.text or ""
    return failed, said


def name_of(test: str) -> str:
    return test.partition("::")[2]


def verdict(mutant: Mutant, folder: Path) -> tuple[str, str]:
    """Return `caught` and how the test failed, or why it is not."""
    source = copy(folder / mutant.name)
    try:
        for change in mutant.changes:
            change.apply(source)
            if change.file.endswith(".py"):
                compile((source / change.file).read_text(), change.file, "exec")
        failed, _ = run(source, [mutant.test])
    except ValueError as error:
        return "STALE", f"{error}; mend {Path(__file__).with_name('guards.py').relative_to(ROOT)}"
    except (RuntimeError, SyntaxError) as error:
        return "BROKEN", str(error)
    if (failure := failed.get(name_of(mutant.test))) is None:
        return "SURVIVED", "the test passes without this guard"
    if broken := BROKEN.search(failure):
        return "BROKEN", f"the test failed with {broken[0]}"
    how = re.search(r"^E +(.+)", failure, re.MULTILINE)
    return "caught", how[1][:120] if how else "it took too long"


def copy(folder: Path) -> Path:
    source = folder / "src"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
    return source


def check_unchanged(mutants: Sequence[Mutant], folder: Path) -> None:
    """Exit unless all the named tests pass on a copy from which nothing was taken away."""
    tests = list(dict.fromkeys(mutant.test for mutant in mutants))
    print(f"without a change: {len(tests)} tests … ", end="", flush=True)
    began = time.monotonic()
    try:
        failed, said = run(copy(folder / "unchanged"), tests)
    except RuntimeError as error:
        sys.exit(str(error))
    if failed:
        sys.exit(f"these fail on unchanged code, so they prove nothing: {', '.join(failed)}\n{said[-3000:]}")
    print(f"all pass ({time.monotonic() - began:.0f} s)\n", flush=True)


def run_all(mutants: Sequence[Mutant], folder: Path) -> int:
    """Try each and print what became of it; returns how many were caught."""
    caught = 0
    for mutant in mutants:
        began = time.monotonic()
        word, how = verdict(mutant, folder)
        caught += word == "caught"
        print(f"{mutant.name:<18} {word:<8} {time.monotonic() - began:3.0f} s  {mutant.guard}")
        print(f"{'':<34}{mutant.test}\n{'':<34}{how}", flush=True)
    return caught


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these mutants, by name; all if none is named")
    wanted = set(parser.parse_args().names)
    if unknown := wanted - {mutant.name for mutant in (*ASKED_FOR, *OUR_OWN)}:
        parser.error(f"no mutant is called {', '.join(sorted(unknown))}")
    asked_for, extra = ([each for each in group if not wanted or each.name in wanted] for group in (ASKED_FOR, OUR_OWN))
    folder = Path(tempfile.mkdtemp(prefix="mutants"))
    try:
        check_unchanged([*asked_for, *extra], folder)
        caught, more = run_all(asked_for, folder), run_all(extra, folder)
    finally:
        shutil.rmtree(folder)
    print(f"\n{caught} of {len(asked_for)} caught; of our own: {more} of {len(extra)} caught")
    return 0 if (caught, more) == (len(asked_for), len(extra)) else 1


if __name__ == "__main__":
    sys.exit(main())
