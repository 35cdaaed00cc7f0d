"""Bad input of the commands: one line on standard error, and exit status 2."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.transformer.cli.conftest import PAIRS, TINY, run, weights_of

BAD = {  # the command → what the one line of the error says
    "translate --model nowhere x": "nowhere: no such model directory",
    "train translate --data nowhere.tsv --out m": "nowhere.tsv: no such file, and no corpus of that name; those are",
    "train summarize --data docstring --out m": "to summarize: docstrings, debian",
    "train translate --data cldr:en-klingon --out m": "unknown language 'klingon'",
    "train translate --data bad.tsv --out m": "bad.tsv: 1 line without a tab (2), 1 line with an empty target (3)",
    "train translate --data empty.tsv --out m": "empty.tsv: the file is empty",
    "train generate --data latin.txt --out m": "latin.txt: 1 line not in UTF-8 (2)",
    "train translate --data good.tsv --out m --held-out 9": "held_out: cannot hold out 9 of 4 pairs",
    "train translate --data good.tsv --out m --held-out 1 --vocab-size 10": "vocab_size: expected 259 to 1,048,576",
    "train translate --data good.tsv --out m --held-out 1 --resume": "resume: m has no training to continue",
    "train translate --data good.tsv --out good.tsv --held-out 1": "good.tsv",
    "train translate --data good.tsv --out m --held-out 1 --patience 2 --average 2": "average: expected 1",
    "train fill --out m --optimizer sgdd": "optimizer: expected one of adam, adamw, adafactor, sgd, got 'sgdd'",
    "train generate --out m --preset bert-base": "--preset: invalid choice: 'bert-base'",
    "train generate --out m --reverse": "unrecognized arguments: --reverse",
    "train generate --data verse.txt --out m --held-out 100": "held_out: expected 0 to 99 per cent",
    "train generate --data verse.txt --out m --max-length 100000": "max_length: expected less than the tokens of the",
    "train generate --data verse.txt --out m --held-out 1": "max_length: expected less than the tokens of the",
    "train generate --data verse.txt --out verse.txt": "out: expected a directory to write to, got verse.txt (F",
    "train generate --data verse.txt --out m --window 10000000000": "window: expected less than 2**31, got 10000000000",
    "train generate --data verse.txt --out m --layers 1000000000": "layers, max_length: Unable to allocate",
    "train translate --data good.tsv --out m --held-out 1 --max-length 2000000000": "GiB, which a training of at least",
    "train generate --data verse.txt --out m --batch-tokens 99999999999": "batch_tokens: expected at most 16,777,216",
    "train generate --data verse.txt --out m --accumulate 99999999999": "accumulate: expected at most 65,536, got 99",
    "train generate --out m --evaluate-every 1 --average 99999999999": "average: expected at most 65,536, got 99",
    "train": "the following arguments are required: TASK",
    "demo --to klingon": "klingon",
    "demo --num-heads 5": "5 heads cannot share d_model=128",
    "demo --held-out 0": "held_out: expected at least 1, got 0",
    "demo --steps 0": "steps: expected at least 1, got 0",
    "demo --steps many": "--steps: invalid int value: 'many'",
    "demo --d-modell 5": "unrecognized arguments: --d-modell; did you mean --d-model? (try transformer demo --help)",
    "translate": "the following arguments are required: --model",
    "fly": "invalid choice: 'fly'",
    "info nowhere": "nowhere: no such model directory",
    "info .": "not a model directory, config.json is missing",
    "--colour": "unrecognized arguments: --colour",
    # of models
    "train translate --data good.tsv --held-out 1 --out translator": "holds a model already; choose another place",
    "translate --model translator ''": "texts: expected some text, number 1 is empty",
    "translate --model writer x": "expected a Transformer to translate with, got a CausalLM",
    "summarize --model translator x": "a model to translate with, not to summarize; see transformer translate --help",
    "translate --model summarizer x": "a model to summarize with, not to translate; see transformer summarize --help",
    "summarize --model filler x": "expected a Transformer to summarize with, got a MaskedLM",
    "generate --model translator": "expected a CausalLM to generate with, got a Transformer",
    "fill --model writer 'a [MASK]'": "expected a MaskedLM to fill with, got a CausalLM",
    "evaluate --model filler --num-beams 4": "num_beams: changes nothing where the task is to fill; expected none",
    "evaluate --model writer --reverse": "reverse: changes nothing where the task is to generate; expected none",
    "generate --model writer --greedy --temperature 2": "temperature: changes nothing beside --greedy; expected none",
    "evaluate --model translator --task fill": "expected a MaskedLM to fill with, got a Transformer",
    "evaluate --model translator --all": "all: expected --data beside it",
    "fill --model filler 'no mask'": "text: expected at least one [MASK], got 'no mask'",
    "fill --model filler '[MASK]' --count 0": "count: expected 1 to",
    "generate --model writer --prompt 'to be or not to be, that is'": "are more than the model's context of 16",
    "generate --model writer --prompt Ω": "character 'Ω' (U+03A9)",
    "generate --model writer --prompt ''": "prompt: expected at least one character",
    "generate --model writer --temperature 0": "temperature: expected a number from 1e-100 to 1e100, got 0.0",
    "generate --model writer --max-new-tokens 0": "max_new_tokens: expected at least 1, got 0",
    "draw --model translator --layer attention x": "encoder.layers.0.self_attention",
    "draw --model translator x -o picture.gif": "picture.gif",
    "draw --model translator x -o picture.pdf": "expected a name ending in .svg, .png, .dot, got 'picture.pdf'",
    "draw --model translator --heads 0;3 x": "expected numbers such as 0,3, or mean, got '0;3'",
    "draw --model translator --heads 99 x": "heads: expected different numbers of heads from 0 to",
    "draw --model translator --max-tokens 0 x": "max_tokens: expected at least 1, got 0",
    "draw --model translator --layer all --values x": "values: expected False for an overview",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_input_is_one_line_on_standard_error_and_exit_status_2(
    line: str,
    request: pytest.FixtureRequest,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.tsv").write_text("a\tb\nno tab here\nc\t\n")
    Path("good.tsv").write_text("a\tb\nc\td\ne\tf\ng\th\n")
    Path("empty.tsv").write_text("")
    Path("latin.txt").write_bytes(b"one\ncaf\xe9\n")
    shutil.copy(folder / "verse.txt", "verse.txt")
    models = {"translator", "summarizer", "filler", "writer"}
    arguments = [str(request.getfixturevalue(word)) if word in models else word for word in shlex.split(line)]
    said = run(*arguments, status=2)
    error = said.err.splitlines()[-1]
    assert BAD[line] in error
    assert error.startswith("transformer") and ": error: " in error
    assert said.err.count(": error: ") == 1 and "Traceback" not in said.err
    assert said.out == ""


def test_bad_lines_are_left_out_on_request_and_counted(tmp_path: Path) -> None:
    corpus = tmp_path / "pairs.tsv"
    corpus.write_bytes("".join(f"{s}\t{t}\n" for s, t in PAIRS).encode() + b"no tab here\ncaf\xe9\tx\n")
    said = run("train", "translate", "--data", corpus, "--out", tmp_path / "m", "--skip-bad", *TINY)
    assert f"left out: {corpus}: 1 line without a tab (101), 1 line not in UTF-8 (102)" in said.err
    said = run("evaluate", "--model", tmp_path / "m")  # the same lines are left out again
    assert "left out:" in said.err and "of 5)" in said.out


DAMAGE = {
    "model.safetensors": (lambda content: content[:-10], "model.safetensors: not a complete safetensors file"),
    "config.json": (lambda content: b"{", "config.json: not valid JSON"),
    "tokenizer.json": (lambda content: b"{}", "tokenizer.json: "),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_of_a_model_is_named(name: str, translator: Path, tmp_path: Path) -> None:
    shutil.copytree(translator, tmp_path / "m")
    damage, message = DAMAGE[name]
    path = tmp_path / "m" / name
    path.write_bytes(damage(path.read_bytes()))
    said = run("translate", "--model", tmp_path / "m", "x", status=2)
    assert message in said.err and said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "dance"}, "expected one of translate, summarize, fill, generate, classify, got 'dance'"),
        ({"colour": 1}, "unknown setting 'colour'"),
        ({"held_out": "x"}, "held_out: expected a number, got 'x'"),
        ({"data": "pairs.tsv"}, "expected a name and a list of names"),
    ],
)
def test_a_damaged_task_is_named(change: dict[str, object], message: str, translator: Path, tmp_path: Path) -> None:
    shutil.copytree(translator, tmp_path / "m")
    path = tmp_path / "m" / "task.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    said = run("evaluate", "--model", tmp_path / "m", status=2)
    assert f"{path}: " in said.err and message in said.err and said.err.count("\n") == 1


def test_weights_that_contradict_the_configuration_are_listed(translator: Path, tmp_path: Path) -> None:
    shutil.copytree(translator, tmp_path / "m")
    config = tmp_path / "m" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "d_ff": 64}))
    said = run("translate", "--model", tmp_path / "m", "x", status=2)
    assert "(32, 16)" in said.err and "(64, 16)" in said.err and said.err.count("\n") == 1


def test_a_resumption_with_other_settings_names_the_first_difference(translator: Path, folder: Path) -> None:
    arguments = ("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", translator, *TINY, "--resume")
    before = weights_of(translator)
    said = run(*arguments, "--lr", 0.5, status=2)
    assert "of another training: config.lr was absent, is 0.5" in said.err
    assert weights_of(translator) == before


def test_a_missing_extra_is_named_before_any_work_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == "babel"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "babel", None)
    said = run("demo", "--out", tmp_path / "demo", status=2)
    assert "pip install 'minigrad-transformer[text]'" in said.err and said.err.count(": error: ") == 1
