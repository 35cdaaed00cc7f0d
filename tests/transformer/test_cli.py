"""The ``transformer`` command, end to end, in processes of its own."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from transformer import cli, console

PAIRS = [(f"{a} and {b}", f"{a} und {b}") for a in range(10) for b in range(10)]
TINY = ["--d-model", "16", "--num-heads", "2", "--d-ff", "32", "--layers", "1", "--vocab-size", "300"]


def _command(
    *arguments: object, stdin: str = "", code: int = 0, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "transformer", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "pairs.tsv.gz"
    path.write_bytes(gzip.compress("".join(f"{s}\t{t}\n" for s, t in PAIRS).encode()))
    return path


@pytest.fixture(scope="module")
def model(corpus: Path) -> Path:
    out = corpus.parent / "model"
    done = _command(
        *("train", "translate", "--data", corpus, "--out", out, "--steps", 4, "--warmup", 2, "--held-out", 5), *TINY
    )
    assert "5 held-out pairs: exact match" in done.stdout
    assert "nrefs:1|case:mixed" in done.stdout  # the signature
    assert "step 1/4" in done.stderr and "step 4/4" in done.stderr and "tokens/s" in done.stderr
    return out


def test_the_demo_writes_model_curve_and_pictures_and_says_what_to_try_next(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    done = _command(*("demo", "--steps", 3, "--warmup", 2, "--count", 1500, "--held-out", 20, "--out", out), *TINY)
    for name in ("model/config.json", "model/model.safetensors", "model/tokenizer.json", "loss.png"):
        assert (out / name).stat().st_size, name
    for suffix in ("svg", "png", "dot"):
        assert (out / f"attention.{suffix}").stat().st_size, suffix
    assert "20 held-out phrases" in done.stdout and "sacreBLEU" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr  # no escape codes in a pipe
    advice = done.stdout[done.stdout.index("next, try:") :]
    translating, training, drawing = advice.splitlines()[1:4]
    assert " translate " in translating and " train translate " in training and " draw " in drawing
    done = subprocess.run(translating, shell=True, capture_output=True, text=True, check=True)  # works as printed
    assert done.stdout.count("\n") == 1


def test_the_demo_speaks_other_languages(tmp_path: Path) -> None:
    arguments = ("demo", "--to", "fr", "--steps", 1, "--warmup", 1, "--count", 1500, "--held-out", 20)
    _command(*arguments, "--out", tmp_path / "demo", *TINY)


def test_sentences_come_from_arguments_or_standard_input(model: Path) -> None:
    from_arguments = _command("translate", "--model", model, "1 and 2", "3 and 4").stdout
    from_input = _command("translate", "--model", model, stdin="1 and 2\n3 and 4\n").stdout
    assert from_arguments == from_input
    assert from_arguments.count("\n") == 2
    _command("translate", "--model", model, "--num-beams", 3, "1 and 2")


def test_a_model_is_evaluated_on_the_pairs_held_out_of_its_corpus(model: Path, corpus: Path) -> None:
    assert "of 5)" in _command("evaluate", "--model", model, "--data", corpus, "--held-out", 5).stdout


def test_a_layers_attention_is_drawn(model: Path, tmp_path: Path) -> None:
    picture = tmp_path / "own.svg"
    _command("draw", "--model", model, "--layer", "encoder.layers.0.self_attention", "1 and 2", "-o", picture)
    assert "<svg" in picture.read_text()


def test_two_parallel_files_are_a_corpus(tmp_path: Path) -> None:
    sides = [tmp_path / "source.txt", tmp_path / "target.txt"]
    for side, path in enumerate(sides):
        path.write_text("".join(pair[side] + "\n" for pair in PAIRS))
    arguments = ("train", "translate", "--data", *sides, "--reverse", "--out", tmp_path / "m", "--steps", 1)
    _command(*arguments, "--warmup", 1, "--held-out", 3, *TINY)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["translate", "--model", "nowhere", "x"], "nowhere: no such model directory"),
        (["train", "translate", "--data", "nowhere.tsv", "--out", "m"], "nowhere.tsv"),
        (["train", "translate", "--data", "bad.tsv", "--out", "m"], "bad.tsv: 1 line without a tab (2)"),
        (["train", "translate", "--data", "empty.tsv", "--out", "m"], "empty.tsv"),
        (["demo", "--to", "klingon"], "klingon"),
        (["demo", "--num-heads", "5"], "5 heads cannot share d_model=128"),
        (["demo", "--held-out", "0"], "held_out: expected at least 1, got 0"),
        (["demo", "--steps", "0"], "steps: expected at least 1, got 0"),
        (["demo", "--steps", "many"], "--steps: invalid int value: 'many'"),
        (["translate"], "the following arguments are required: --model"),
        (["fly"], "invalid choice: 'fly'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_bad_input_is_one_line_on_standard_error_and_exit_status_2(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    Path("bad.tsv").write_text("a\tb\nno tab here\n")
    Path("empty.tsv").write_text("")
    done = _command(*arguments, code=2)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stdout == ""


def test_a_truncated_model_directory_and_unknown_layers_are_named(model: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes((model / name).read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    assert (
        "model.safetensors: not a complete safetensors file"
        in _command("translate", "--model", tmp_path, "x", code=2).stderr
    )
    done = _command("draw", "--model", model, "--layer", "attention", "1 and 2", code=2)
    assert "encoder.layers.0.self_attention" in done.stderr and done.stderr.count("\n") == 1


def test_interrupting_a_training_leaves_a_usable_model(corpus: Path, tmp_path: Path) -> None:
    arguments = ["train", "translate", "--data", str(corpus), "--out", str(tmp_path / "m"), "--steps", "100000"]
    # Background jobs inherit the signal ignored.
    listening = "import signal, sys, transformer.cli as cli; signal.signal(signal.SIGINT, signal.default_int_handler)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{listening}; sys.exit(cli.main())", *arguments, "--held-out", "5", *TINY],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("step 1/"):
                process.send_signal(signal.SIGINT)
                break
        try:
            _, rest = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "stopped after step" in rest and "Traceback" not in rest
    assert _command("translate", "--model", tmp_path / "m", "1 and 2").stdout.count("\n") == 1


def test_a_missing_extra_is_named_before_any_work_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == "babel"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "babel", None)
    assert cli.main(["demo", "--out", str(tmp_path / "demo")]) == 2
    said = capsys.readouterr().err
    assert "pip install 'minigrad[text]'" in said and said.count("\n") == 1


def test_a_place_that_cannot_hold_a_model_is_named_before_the_training(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    done = _command("train", "translate", "--data", corpus, "--out", tmp_path / "taken", "--held-out", 5, code=2)
    assert "taken" in done.stderr and done.stderr.count("\n") == 1


def test_a_training_repeats_to_the_digit_in_another_process(corpus: Path, tmp_path: Path) -> None:
    weights = []
    for hash_seed in ("1", "2"):
        out = tmp_path / hash_seed
        arguments = ("train", "translate", "--data", corpus, "--out", out, "--steps", 3, "--held-out", 5)
        # Wide enough for the parallel kernels.
        _command(*arguments, "--d-model", 64, "--d-ff", 128, "--layers", 1, environment={"PYTHONHASHSEED": hash_seed})
        weights.append((out / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_an_interruption_before_the_first_step_leaves_the_previous_model(
    corpus: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "runs[v2]"  # brackets in a path are no markup
    shutil.copytree(model, out)
    before = (out / "model.safetensors").read_bytes()

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(console, "watch", interrupt)
        arguments = ["train", "translate", "--data", str(corpus), "--out", str(out), "--held-out", "5", *TINY]
        assert cli.main(arguments) == cli.INTERRUPTED
    assert (out / "model.safetensors").read_bytes() == before
    done = _command("train", "translate", "--data", corpus, "--out", out, "--steps", 1, "--held-out", 5, *TINY)
    assert done.stdout.splitlines()[-1] == f"model in {out}"
    assert (out / "model.safetensors").read_bytes() != before


def test_help_names_every_command() -> None:
    text = _command("--help").stdout
    for name in ("demo", "train", "translate", "evaluate", "draw"):
        assert name in text
        assert "--" in _command(name, "--help").stdout
