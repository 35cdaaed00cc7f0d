"""Compiler and code cache: location, messages, recompilation. Each process here is a fresh one."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad.kernels

pytestmark = pytest.mark.slow

PACKAGE = Path(minigrad.kernels.__file__).parent
ADD_ROWS = """
import numpy as np
from minigrad.kernels import add_rows
print(add_rows(np.zeros((2, 1)), np.array([1, 1]), np.ones((2, 1))).tolist())
"""

SUMMING = """
import numpy as np
from minigrad.kernels import layer_norm_backward, softmax
g, x, weight = (np.random.default_rng(0).normal(size=size).astype("f4") for size in ((37, 67), (37, 67), 67))
mean = x.mean(-1)
found = [softmax(x), *layer_norm_backward(g, x, weight, mean, 1 / x.std(-1))]
print([array.tobytes().hex() for array in found])
"""


def run(code: str, root: Path = PACKAGE.parents[1], **variables: str) -> subprocess.CompletedProcess[str]:
    unset = {"MINIGRAD_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"}
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    environment = {**kept, "PYTHONPATH": str(root), **variables}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=root, capture_output=True, text=True, check=True
    )


def copied_package(root: Path) -> Path:
    """A copy of the kernels that stands alone."""
    package = root / "minigrad" / "kernels"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "minigrad" / "__init__.py").touch()
    return package


def test_the_second_process_compiles_nothing_and_says_nothing(tmp_path):
    first = run(ADD_ROWS, MINIGRAD_CACHE_DIR=str(tmp_path))
    assert first.stdout == "[[0.0], [2.0]]\n"
    assert first.stderr.count("minigrad: compiling kernels for this CPU") == 1
    assert str(tmp_path) in first.stderr
    second = run(ADD_ROWS, MINIGRAD_CACHE_DIR=str(tmp_path))
    assert second.stdout == first.stdout
    assert second.stderr == ""


def test_a_process_that_compiles_computes_the_same_bits_as_one_that_loads(tmp_path):
    compiling, loading = (run(SUMMING, MINIGRAD_CACHE_DIR=str(tmp_path)) for _ in range(2))
    assert "compiling" in compiling.stderr and not loading.stderr
    assert compiling.stdout == loading.stdout


def test_an_edit_in_any_file_of_the_kernels_compiles_anew(tmp_path):
    edited = copied_package(tmp_path) / "compiling" / "vector.py"  # intrinsics: Numba would not notice
    variables = {"root": tmp_path, "MINIGRAD_CACHE_DIR": str(tmp_path / "cache")}
    run(ADD_ROWS, **variables)
    assert run(ADD_ROWS, **variables).stderr == ""
    edited.write_text(edited.read_text() + "\n# edited\n")
    assert "compiling" in run(ADD_ROWS, **variables).stderr


def test_another_cpu_gets_its_own_code(tmp_path):
    run(ADD_ROWS, MINIGRAD_CACHE_DIR=str(tmp_path))
    run(ADD_ROWS, MINIGRAD_CACHE_DIR=str(tmp_path), NUMBA_CPU_NAME="generic")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_cache_that_cannot_be_written_costs_one_line_and_nothing_else(tmp_path):
    (tmp_path / "file").touch()
    result = run(ADD_ROWS, MINIGRAD_CACHE_DIR=str(tmp_path / "file" / "folder"))
    assert result.stdout == "[[0.0], [2.0]]\n"
    assert result.stderr.count("minigrad: cannot keep compiled kernels") == 1
    assert "MINIGRAD_CACHE_DIR" in result.stderr


def _damaged(content: bytes, how: str) -> bytes:
    middle = len(content) // 2
    flipped = bytes([*content[:middle], content[middle] ^ 1, *content[middle + 1 :]])
    return {"empty": b"", "cut short": content[:20], "flipped": flipped, "other": b"\x80\x04K\x01."}[how]


@pytest.mark.parametrize("how", ["empty", "cut short", "flipped", "other"])
def test_damaged_code_is_compiled_anew_and_kept(how, tmp_path):
    run(ADD_ROWS, MINIGRAD_CACHE_DIR=str(tmp_path))
    entries = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in entries} == {".nbi", ".nbc"}
    for path in entries:
        path.write_bytes(_damaged(path.read_bytes(), how))
    again = run(ADD_ROWS, MINIGRAD_CACHE_DIR=str(tmp_path))
    assert again.stdout == "[[0.0], [2.0]]\n" and again.stderr.count("minigrad: compiling kernels") == 1
    assert run(ADD_ROWS, MINIGRAD_CACHE_DIR=str(tmp_path)).stderr == ""
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(entries)


def test_an_entry_that_has_another_ones_name_is_not_run(tmp_path):
    run(SUMMING, MINIGRAD_CACHE_DIR=str(tmp_path))
    for path in tmp_path.rglob("*.nbc"):  # each valid, with its checksum, and all in the wrong places
        path.write_bytes(next(tmp_path.rglob("*add_rows*.nbc"), next(iter(tmp_path.rglob("*.nbc")))).read_bytes())
    again = run(SUMMING, MINIGRAD_CACHE_DIR=str(tmp_path))
    assert again.stdout == run(SUMMING, MINIGRAD_CACHE_DIR=str(tmp_path)).stdout


def test_leftovers_of_a_killed_process_are_overwritten(tmp_path):
    run(ADD_ROWS, MINIGRAD_CACHE_DIR=str(tmp_path))
    entries = [path for path in tmp_path.rglob("*") if path.is_file()]
    for path in entries:
        path.rename(path.with_name(f".{path.name}.pending"))
        path.with_name(f".{path.name.partition('.py')[0]}.py{sys.version_info[0]}{sys.version_info[1]}.claim").touch()
    run(ADD_ROWS, MINIGRAD_CACHE_DIR=str(tmp_path))
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(entries)


def test_a_full_disk_costs_one_line_and_leaves_nothing(tmp_path):
    pytest.importorskip("resource", reason="limits of POSIX systems")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
    result = run(limit + ADD_ROWS, MINIGRAD_CACHE_DIR=str(tmp_path))
    assert result.stdout == "[[0.0], [2.0]]\n"
    assert result.stderr.count("minigrad: cannot keep compiled kernels") == 1
    assert len(result.stderr.splitlines()) == 2 and "File too large: '" in result.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


READ_ONLY = """
import errno, os
opened, make = os.open, os.mkdir
def read(path, flags, *rest, **more):
    if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        raise OSError(errno.EROFS, "Read-only file system", os.fspath(path))
    return opened(path, flags, *rest, **more)
os.open = read
"""


def test_a_read_only_cache_is_used(tmp_path):
    run(ADD_ROWS, MINIGRAD_CACHE_DIR=str(tmp_path))
    before = sorted(tmp_path.rglob("*"))
    warm = run(READ_ONLY + ADD_ROWS, MINIGRAD_CACHE_DIR=str(tmp_path))
    assert (warm.stdout, warm.stderr) == ("[[0.0], [2.0]]\n", "")
    cold = run(READ_ONLY + SUMMING, MINIGRAD_CACHE_DIR=str(tmp_path))
    assert cold.stderr.count("minigrad: cannot keep compiled kernels") == 1 and "(not kept)" in cold.stderr
    assert sorted(tmp_path.rglob("*")) == before


INTERRUPTED = """
import os, signal, sys
import numpy as np
from minigrad import kernels
signal.signal(signal.SIGINT, signal.default_int_handler)
sent = []
def send():
    if not sent:
        sent.append(True)
        os.kill(os.getpid(), signal.SIGINT)
{when}
found = []
for attempt in range(2):
    try:
        kernels.add_rows(np.zeros((2, 1)), np.array([1, 1]), np.ones((2, 1)))
        found.append("done")
    except KeyboardInterrupt:
        found.append("interrupted")
print(found, signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""
WHEN = {
    "importing": "sys.addaudithook(lambda event, given: event == 'import' and given[0] == 'numba.np.ufunc' and send())",
    "compiling": """
from numba.core.codegen import JITCodeLibrary
keep = JITCodeLibrary._object_compiled_hook.__func__
def send_and_keep(kind, module, code):  # called by LLVM, which swallows what is raised
    send()
    keep(kind, module, code)
JITCodeLibrary._object_compiled_hook = classmethod(send_and_keep)
""",
}


@pytest.mark.parametrize("when", WHEN)
def test_ctrl_c_while_numba_works_is_one_interrupt_after_which_everything_works(when, tmp_path):
    result = run(INTERRUPTED.format(when=WHEN[when]), MINIGRAD_CACHE_DIR=str(tmp_path))
    assert result.stdout == "['interrupted', 'done'] True\n"


def test_without_a_compiler_the_error_says_so():
    code = f"""
try:
    {ADD_ROWS.strip().replace(chr(10), chr(10) + "    ")}
except RuntimeError as error:
    print(error)
"""
    assert "NUMBA_DISABLE_JIT is set: the kernels are machine code" in run(code, NUMBA_DISABLE_JIT="1").stdout


@pytest.mark.parametrize("home", ["/dev/null", "/proc"])
def test_a_home_that_cannot_be_written_is_no_hindrance(home):
    result = run(ADD_ROWS, HOME=home)
    assert result.stdout == "[[0.0], [2.0]]\n"
    assert result.stderr.count("minigrad: cannot keep compiled kernels") == 1


def test_nothing_is_written_beside_the_sources(tmp_path):
    """A read-only installation: numba's own place for a cache is __pycache__ beside the source."""
    package = copied_package(tmp_path)
    before = sorted(package.rglob("*"))
    run(ADD_ROWS, root=tmp_path, MINIGRAD_CACHE_DIR=str(tmp_path / "cache"), PYTHONDONTWRITEBYTECODE="1")
    assert sorted(package.rglob("*")) == before


def test_the_cache_folder_follows_the_environment(tmp_path):
    code = "from minigrad.kernels.compiling import compiler; print(compiler._cache_root())"
    assert run(code, MINIGRAD_CACHE_DIR="/one", NUMBA_CACHE_DIR="/two").stdout == "/one\n"
    assert run(code, NUMBA_CACHE_DIR="/two", XDG_CACHE_HOME="/three").stdout == "/two\n"
    if sys.platform == "linux":
        assert run(code, XDG_CACHE_HOME="/three").stdout == "/three/minigrad\n"
        assert run(code, HOME="/four").stdout == "/four/.cache/minigrad\n"


def test_the_users_own_numba_settings_are_left_alone(tmp_path):
    code = """
import numba
from numba.core import config
before = config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES
from minigrad.kernels import add_rows
print((config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES) == before)
"""
    assert run(code, MINIGRAD_CACHE_DIR=str(tmp_path)).stdout == "True\n"


def test_the_users_own_compilations_are_not_announced(tmp_path):
    code = (
        ADD_ROWS
        + """
import numba, sys
print('mine', file=sys.stderr)
numba.njit(lambda x: x + 1)(1)
"""
    )
    run(ADD_ROWS, MINIGRAD_CACHE_DIR=str(tmp_path))
    assert run(code, MINIGRAD_CACHE_DIR=str(tmp_path)).stderr == "mine\n"


def test_importing_the_kernels_does_not_load_numba():
    code = "import sys; before = 'numba' in sys.modules; import minigrad.kernels; print(before, 'numba' in sys.modules)"
    assert run(code).stdout == "False False\n"


def test_every_public_name_is_found_and_callable():
    for name, home in minigrad.kernels._HOME.items():
        importlib.import_module(f"minigrad.kernels.{home}")
        assert home.partition(".")[0] not in minigrad.kernels._HOME
        assert callable(getattr(minigrad.kernels, name))
        assert name in vars(minigrad.kernels)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = minigrad.kernels.nothing


@pytest.mark.parametrize(
    "cpu",
    [
        {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
        {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+bmi,+bmi2"},
    ],
)
def test_products_and_softmax_are_right_on_lesser_cpus(tmp_path, cpu):
    code = """
import numpy as np
from minigrad.kernels import matmul, softmax
rng = np.random.default_rng(0)
for m, n, k in [(1, 70, 9), (13, 37, 300), (29, 33, 65), (5, 9, 200)]:
    a, b = rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)
    for left in (a, np.asfortranarray(a)):
        for right in (b, np.asfortranarray(b)):
            assert np.allclose(matmul(left, right), a @ b, atol=1e-4)
assert np.allclose(softmax(a).sum(axis=-1), 1)
print("right")
"""
    assert run(code, MINIGRAD_CACHE_DIR=str(tmp_path), **cpu).stdout == "right\n"
