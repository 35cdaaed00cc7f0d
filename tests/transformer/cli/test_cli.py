"""The ``transformer`` command, end to end at a small size."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from transformer import (
    GenerationConfig,
    Tokenizer,
    Transformer,
    TransformerConfig,
    cli,
    generate,
    load_tokenizer,
)
from transformer.cli import console
from transformer.cli.usage import EXAMPLES, USAGE
from transformer.pretrained import load_both
from transformer.pretrained.snapshot import exclusive
from transformer.tasks import TASKS, Report, digest, read_task
from transformer.train import Trainer

PAIRS = [(f"{a} and {b}", f"{a} und {b}") for a in range(10) for b in range(10)]
SENTENCES = [f"the {a} {b} sleeps in the {c}" for a in ("old", "red") for b in ("cat", "dog") for c in ("sun", "house")]
SIZES = ["--d-model", "16", "--num-heads", "2", "--d-ff", "32", "--layers", "1"]
SHORT = ["--steps", "4", "--warmup", "2"]
TINY = [*SIZES, *SHORT, "--vocab-size", "300", "--held-out", "5"]
CHARACTERS = [*SIZES, *SHORT, "--max-length", "16"]


@dataclass(frozen=True)
class Said:
    out: str
    err: str


def _command(*arguments: object, stdin: str = "", status: int = 0) -> Said:
    """Run the command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "stdin", io.StringIO(stdin))
        try:
            found: Any = cli.main([str(argument) for argument in arguments])
        except SystemExit as exit:
            found = exit.code
    assert found == status, err.getvalue()
    return Said(out.getvalue(), err.getvalue())


def _process(*arguments: object) -> list[str]:
    """The command line of the command in a process of its own, where Ctrl-C counts even in the background."""
    listening = "import signal, sys, transformer.cli as cli; signal.signal(signal.SIGINT, signal.default_int_handler)"
    return [sys.executable, "-c", f"{listening}; sys.exit(cli.main())", *map(str, arguments)]


def _signalled(command: list[str], number: int, line: str) -> tuple[int, str]:
    """Run a command until it says a line, send the signal, and give its status and what it said after that."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for said in process.stderr:
                if said.startswith(line):
                    process.send_signal(number)
                    break
            _, rest = process.communicate(timeout=120)
        finally:
            process.kill()
    return process.returncode, rest


def _weights(directory: Path) -> bytes:
    return (directory / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corpora, and where the models go."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "pairs.tsv.gz").write_bytes(gzip.compress("".join(f"{s}\t{t}\n" for s, t in PAIRS).encode()))
    (folder / "texts.tsv").write_text("".join(f"{s}. It is so. It was so.\t{s}\n" for s in SENTENCES))
    (folder / "sentences.txt").write_text("\n".join(SENTENCES) + "\n")
    (folder / "verse.txt").write_text("to be or not to be, that is the question\n" * 40)
    return folder


@pytest.fixture(scope="module")
def translator(folder: Path) -> Path:
    said = _command("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", folder / "translator", *TINY)
    assert "held out: exact match" in said.out and "of 5)" in said.out
    assert "nrefs:1|case:mixed" in said.out  # the signature
    assert f"model in {folder / 'translator'}" in said.out
    assert "step 1/4" in said.err and "step 4/4" in said.err and "tokens/s" in said.err
    return folder / "translator"


@pytest.fixture(scope="module")
def summarizer(folder: Path) -> Path:
    arguments = ("--data", folder / "texts.tsv", "--out", folder / "summarizer", "--max-length", 24)
    said = _command("train", "summarize", *arguments, *TINY)
    assert "ROUGE1 " in said.out and "ROUGEL " in said.out and "(lead 100.0)" in said.out  # the first sentence is it
    return folder / "summarizer"


@pytest.fixture(scope="module")
def filler(folder: Path) -> Path:
    said = _command("train", "fill", "--data", folder / "sentences.txt", "--out", folder / "filler", *TINY)
    assert "hidden tokens: loss" in said.out and "perplexity" in said.out
    return folder / "filler"


@pytest.fixture(scope="module")
def writer(folder: Path) -> Path:
    said = _command("train", "generate", "--data", folder / "verse.txt", "--out", folder / "writer", *CHARACTERS)
    assert "bits a character" in said.out
    return folder / "writer"


# What each command does


def test_the_demo_works_in_a_process_and_what_it_advises_works_as_printed(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    sizes = [*SIZES, *SHORT, "--vocab-size", "300", "--count", "1500", "--held-out", "20"]
    command = [sys.executable, "-m", "transformer", "demo", *sizes, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("model/config.json", "model/model.safetensors", "model/tokenizer.json", "loss.png"):
        assert (out / name).stat().st_size, name
    for suffix in ("svg", "png", "dot"):
        assert (out / f"attention.{suffix}").stat().st_size, suffix
    assert "20 held-out phrases, none of them in the training" in done.stdout and "sacreBLEU" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr  # no escape codes in a pipe
    advice = done.stdout[done.stdout.index("next, try:") :]
    translating, training, drawing = (shlex.split(line) for line in advice.splitlines()[1:4])
    assert training[3:5] == ["train", "translate"]
    assert _command(*translating[3:]).out.count("\n") == 1
    picture = tmp_path / "picture.svg"
    _command(*drawing[3:-1], picture)
    assert "<svg" in picture.read_text()


def test_the_demo_speaks_other_languages_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    arguments = ("demo", "--to", "fr", "--count", 1500, "--out", tmp_path / "demo", *TINY, "--held-out", 20)
    _command(*arguments, "--checkpoint-every", 2)
    said = _command(*arguments, "--resume")  # nothing is left to do but to look at the result
    assert "20 held-out phrases" in said.out


def test_sentences_come_from_arguments_or_standard_input(translator: Path) -> None:
    from_arguments = _command("translate", "--model", translator, "1 and 2", "3 and 4").out
    from_input = _command("translate", "--model", translator, stdin="1 and 2\n3 and 4\n").out
    assert from_arguments == from_input
    assert from_arguments.count("\n") == 2
    assert _command("translate", "--model", translator, "--num-beams", 3, "1 and 2").out.count("\n") == 1


def test_each_line_to_translate_gives_a_line_an_empty_one_too(translator: Path) -> None:
    one, two = _command("translate", "--model", translator, "1 and 2", "3 and 4").out.splitlines()
    lines = _command("translate", "--model", translator, stdin="1 and 2\n\n  \r\n3 and 4").out.split("\n")
    assert lines == [one, "", "", two, ""]
    assert _command("translate", "--model", translator, stdin="\n").out == "\n"
    assert "expected some text, got none" in _command("translate", "--model", translator, status=2).err


def test_lines_come_out_as_they_come_in(translator: Path) -> None:
    command = _process("translate", "--model", translator)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            for line in ("1 and 2\n", "\n", "3 and 4\n"):
                process.stdin.write(line)
                process.stdin.flush()
                assert process.stdout.readline() == _command("translate", "--model", translator, stdin=line).out
            process.stdin.close()
            assert process.wait(60) == 0
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (b"1 and 2\ncaf\xe9\n", "standard input: line 2 is not in UTF-8"),
        ("1 and 2\n".encode("utf-16"), "standard input: looks like UTF-16 or UTF-32, expected UTF-8"),
        (b"1 and 2\r3 and 4\r", "standard input: its lines end in CR alone"),
        (b"x" * 2**24, "standard input: a line has more than 8,388,608 bytes, and so is no text"),
    ],
)
@pytest.mark.parametrize("name", ["translator", "summarizer"])
def test_what_is_no_text_in_utf8_is_named(
    name: str, stdin: bytes, message: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, err = request.getfixturevalue(name), io.StringIO()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    command = "translate" if name == "translator" else "summarize"
    with redirect_stderr(err), redirect_stdout(io.StringIO()):
        assert cli.main([command, "--model", str(model)]) == 2
    assert message in err.getvalue() and err.getvalue().count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="a shell's way to close a stream")
@pytest.mark.parametrize(
    ("redirection", "status", "message"),
    [
        ("<&-", 2, "error: standard input: closed; expected texts there, or as arguments\n"),
        ("< /dev/null >&-", 2, "error: texts: expected some text, got none\n"),
        ("'1 and 2' >&-", 0, ""),
        ("'1 and 2' 2>&-", 0, ""),
        ("'1 and 2' <&- >&- 2>&-", 0, ""),
        ("'1 and 2' > /dev/full", 2, "error: [Errno 28] No space left on device\n"),
        ("'1 and 2' | true", 0, ""),
    ],
)
def test_a_stream_that_is_closed_or_full_is_no_traceback(
    redirection: str, status: int, message: str, translator: Path
) -> None:
    if "/dev/full" in redirection and not Path("/dev/full").exists():
        pytest.skip("a device of Linux")
    line = f"{shlex.join(_process('translate', '--model', translator))} {redirection}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.removeprefix("transformer translate: ")) == (status, message)


def test_a_console_that_cannot_show_every_character_shows_what_it_can() -> None:
    shown = "from transformer.cli import console; console.prepare_output(); "
    shown += "console.out.print(console.translations_table([('Ω', 'ä', 'ä')])); print('✓')"
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", shown], env=environment, capture_output=True, check=True)
    assert "ä" in done.stdout.decode("cp1252") and b"\\u2713" in done.stdout and not done.stderr


def test_the_name_of_a_special_token_is_text_unless_asked_otherwise(
    translator: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Any] = []

    def watched(model: Any, ids: Any, *others: Any, **choices: Any) -> Any:
        read.append(ids.tolist())
        return generate(model, ids, *others, **choices)

    monkeypatch.setattr("transformer.evaluate.generate", watched)
    _command("translate", "--model", translator, "</s>")
    _command("translate", "--model", translator, "--special-tokens", "</s>")
    _command("translate", "--model", translator, "--special-tokens", stdin="</s>\n")
    assert len(read[0][0]) > 2 and read[1] == read[2] == [[2, 2]]
    writer = ("train", "generate", "--data", folder / "verse.txt", "--out", tmp_path / "w", *CHARACTERS)
    _command(*writer, "--vocab-size", 280)
    line = ("generate", "--model", tmp_path / "w", "--prompt", "<s>to", "--max-new-tokens", 3, "--seed", 1)
    said, special = _command(*line).out, _command(*line, "--special-tokens").out
    assert said.startswith("<s>to") and special.startswith("<s>to")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[GenerationConfig]:
    """The choices with which each batch of texts was written."""
    found: list[GenerationConfig] = []

    def watched(model: Any, *inputs: Any, config: GenerationConfig | None = None, **choices: Any) -> Any:
        choices.pop("tokenizer", None)
        found.append((config or model.generation).override(choices))
        return generate(model, *inputs, config=config, **choices)

    for module in ("transformer.evaluate", "transformer.tasks.causal"):
        monkeypatch.setattr(f"{module}.generate", watched)
    return found


def _directory(model: Path, place: Path, generation: dict[str, Any]) -> Path:
    shutil.copytree(model, place)
    (place / "generation_config.json").write_text(json.dumps(generation))
    return place


@pytest.mark.parametrize("command", ["translate", "evaluate"])
def test_a_directorys_settings_count_and_each_is_overridden_by_an_option(
    command: str, translator: Path, tmp_path: Path, asked: list[GenerationConfig]
) -> None:
    says = {"num_beams": 3, "length_penalty": 0.3, "max_length": 5, "no_repeat_ngram_size": 2, "early_stopping": True}
    model = _directory(translator, tmp_path / "m", says)
    line = (command, "--model", model, *(["1 and 2"] if command == "translate" else []))
    _command(*line)
    assert {name: getattr(asked[-1], name) for name in says} == says and asked[-1].max_new_tokens is None
    _command(*line, "--num-beams", 2, "--length-penalty", 1.5, "--max-new-tokens", 3)
    changed = {**says, "num_beams": 2, "length_penalty": 1.5, "max_new_tokens": 3}
    assert {name: getattr(asked[-1], name) for name in changed} == changed
    sampling = {"do_sample": True, "num_return_sequences": 4, "min_new_tokens": 5}
    other = _directory(translator, tmp_path / "other", sampling)
    _command(command, "--model", other, *line[3:], "--num-beams", 2, "--max-new-tokens", 3)
    assert (asked[-1].num_beams, asked[-1].do_sample, asked[-1].num_return_sequences) == (2, False, 1)


def test_a_translator_trained_here_is_searched_as_the_paper_says(
    translator: Path, asked: list[GenerationConfig]
) -> None:
    _command("translate", "--model", translator, "--num-beams", 4, "1 and 2")
    assert (asked[0].length_penalty, asked[0].length_penalty_form) == (0.6, "paper")


def test_a_text_is_gone_on_with_as_the_directory_says(
    writer: Path, tmp_path: Path, asked: list[GenerationConfig]
) -> None:
    def text(place: str, generation: dict[str, Any], *options: object) -> str:
        model = _directory(writer, tmp_path / place, generation)
        return _command("generate", "--model", model, "--prompt", "to be", *options).out

    searched = text("beams", {"num_beams": 4, "max_new_tokens": 9})
    assert asked[0].num_beams == 4 and len(searched) == len("to be") + 9 + 1
    greedy = text("greedy", {"do_sample": False, "temperature": 0.0, "max_length": 12})
    assert greedy == text("own", {}, "--greedy", "--max-new-tokens", 7)
    assert text("once", {"do_sample": False}, "--seed", 1) == text("sampled", {"do_sample": True}, "--seed", 1)
    assert len(asked) == 1  # a search that is no stream


def test_a_family_of_translators_summarizes_nothing(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train([text for pair in PAIRS for text in pair], 300)
    sizes = {"vocab_size": 300, "d_model": 16, "num_heads": 2, "d_ff": 32, "encoder_layers": 1, "decoder_layers": 1}
    marian = {"positions": "sinusoidal_halves", "activation": "silu", "output_bias": True, "init_std": 0.02}
    Transformer(TransformerConfig.from_fields({**sizes, **marian})).save_pretrained(tmp_path, tokenizer)
    assert _command("translate", "--model", tmp_path, "1 and 2").out.count("\n") == 1
    said = _command("summarize", "--model", tmp_path, "1 and 2", status=2).err
    assert "a model to translate with, not to summarize" in said


def test_a_text_is_summarized_to_a_line_however_long_it_is(summarizer: Path) -> None:
    text = "The old cat sleeps.\nIt is so.\n" * 40
    assert _command("summarize", "--model", summarizer, stdin=text).out.count("\n") == 1
    assert _command("summarize", "--model", summarizer, text, "A dog.").out.count("\n") == 2


def test_each_missing_word_gets_candidates_with_their_probabilities(filler: Path) -> None:
    lines = _command("fill", "--model", filler, "the [MASK] cat sleeps in the [MASK]", "--count", 3).out.splitlines()
    assert len(lines) == 7 and lines[3] == ""
    shares = [float(line.split("%")[0]) for line in lines[:3]]
    assert shares == sorted(shares, reverse=True) and 0 < shares[0] <= 100
    assert all(re.search(r"%  the [^' ]+ cat sleeps in the \[MASK\]$", line) for line in lines[:3])
    assert all("the [MASK] cat sleeps in the" in line for line in lines[4:])


def test_the_same_seed_writes_the_same_text_and_another_one_another(writer: Path) -> None:
    def text(*choices: object) -> str:
        return _command("generate", "--model", writer, "--prompt", "to be", "--max-new-tokens", 40, *choices).out

    first = text("--seed", 1)
    assert first == text("--seed", 1) != text("--seed", 2)
    assert first.startswith("to be") and len(first) == len("to be") + 40 + 1  # beyond the context of 16
    assert text("--greedy") == text("--greedy")


@pytest.mark.parametrize("name", ["translator", "summarizer", "filler", "writer"])
def test_a_model_is_evaluated_by_what_its_directory_says_alone(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = request.getfixturevalue(name)
    monkeypatch.chdir(tmp_path)
    figures = {"translator": "sacreBLEU", "summarizer": "(lead ", "filler": "hidden tokens", "writer": "perplexity"}
    said = _command("evaluate", "--model", model)
    assert figures[name] in said.out and said.out.count("\n") == 1


def test_the_examples_scored_are_those_that_the_training_held_out_wherever_they_stand_by_now(tmp_path: Path) -> None:
    corpus, model = tmp_path / "pairs.tsv", tmp_path / "m"
    lines = [f"{s}\t{t}\n" for s, t in PAIRS]
    corpus.write_text("".join(lines))
    _command("train", "translate", "--data", corpus, "--out", model, *TINY)
    before = read_task(model)[1].held_out_digests
    assert before is not None and len(before) == 5
    scored: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TASKS["translate"], "evaluate", lambda *given: scored.append(given[2]) or Report({}, ""))
        _command("evaluate", "--model", model)
        corpus.write_text("new\tneu\n" + "".join(lines[::-1]) + "older\tälter\n" * 3)
        _command("evaluate", "--model", model)
        _command("evaluate", "--model", model, "--data", shutil.copy(corpus, tmp_path / "moved.tsv"))
        assert scored[0] == scored[1] == scored[2] and [digest(pair) for pair in scored[0]] == list(before)
        for option in (["--held-out", 3], ["--split-seed", 1], ["--reverse"]):
            assert "the training held out are scored" in _command("evaluate", "--model", model, *option, status=2).err
        source, target = scored[0][0]
        corpus.write_text("".join(lines).replace(f"{source}\t{target}\n", ""))
        said = _command("evaluate", "--model", model, status=2).err
        assert f"1 of the 5 examples that the training held out are not in {corpus}" in said
        whole = ("evaluate", "--model", model, "--data", tmp_path / "moved.tsv", "--all")
        assert "also what it learned from" in _command(*whole).err


def test_a_text_that_has_grown_is_not_scored_where_the_model_learned_from_it(folder: Path, tmp_path: Path) -> None:
    text = tmp_path / "verse.txt"
    shutil.copy(folder / "verse.txt", text)
    _command("train", "generate", "--data", text, "--out", tmp_path / "m", *CHARACTERS)
    text.write_text(text.read_text() * 2)
    said = _command("evaluate", "--model", tmp_path / "m", status=2).err
    assert "1 of the 1 examples that the training held out are not in" in said


def test_other_data_and_whole_test_sets_can_be_evaluated_on(translator: Path, tmp_path: Path) -> None:
    test_set = tmp_path / "test.tsv"
    test_set.write_text("1 and 2\t1 und 2\n3 and 4\t3 und 4\n")
    assert "of 2)" in _command("evaluate", "--model", translator, "--data", test_set, "--all").out
    assert "of 1)" in _command("evaluate", "--model", translator, "--data", test_set, "--held-out", 1).out
    (tmp_path / "model").mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):  # of a model that was not trained here
        shutil.copy(translator / name, tmp_path / "model")
    arguments = ("--model", tmp_path / "model", "--data", test_set, "--all")
    assert "of 2)" in _command("evaluate", "--task", "translate", *arguments).out
    assert "task.json is missing" in _command("evaluate", *arguments, status=2).err


@pytest.mark.parametrize(
    ("name", "layer", "text"),
    [
        ("translator", "encoder.layers.0.self_attention", "to be"),
        ("translator", None, "to be"),
        ("filler", None, "the [MASK] cat"),
        ("writer", None, "to be"),
    ],
)
def test_the_attention_of_any_model_is_drawn(
    name: str, layer: str | None, text: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    model, picture = request.getfixturevalue(name), tmp_path / "own.svg"
    chosen = [] if layer is None else ["--layer", layer]
    _command("draw", "--model", model, *chosen, text, "-o", picture)
    drawn = picture.read_text()
    assert "<svg" in drawn and ("&lt;mask&gt;" in drawn) is (name == "filler")  # one token


def test_a_training_leaves_its_log_its_task_and_its_pictures(translator: Path, folder: Path) -> None:
    steps = (translator / "log.jsonl").read_text().splitlines()[1:]
    assert [json.loads(line)["step"] for line in steps] == [1, 2, 3, 4]
    assert "held_out_loss" in steps[-1]
    task = json.loads((translator / "task.json").read_text())
    assert task["task"] == "translate" and task["data"] == [str(folder / "pairs.tsv.gz")] and task["held_out"] == 5
    for name in ("loss.png", "gradients.png"):
        assert (translator / name).read_bytes().startswith(b"\x89PNG")


def test_pairs_longer_than_the_model_are_counted_and_left_out_on_request(tmp_path: Path) -> None:
    corpus = tmp_path / "pairs.tsv"
    numbers = " ".join(map(str, range(900)))
    corpus.write_text("".join(f"{s}\t{t}\n" for s, t in PAIRS) + f"{numbers}\t{numbers}\n" * 2)
    command = ["train", "translate", "--data", corpus, "--out", tmp_path / "m", *TINY]
    refused = _command(*command, status=2).err.splitlines()[-1]
    assert "2 with more tokens than max_length=" in refused and "0 1 2 3" in refused and "--skip-bad" in refused
    assert "left out: 2 with more tokens" in _command(*command, "--skip-bad").err
    assert "left out: 2 with more tokens" in _command("evaluate", "--model", tmp_path / "m").err


def test_a_training_leaves_nothing_of_a_strangers_tokenizer(tmp_path: Path) -> None:
    corpus, out = tmp_path / "pairs.tsv", tmp_path / "m"
    corpus.write_text("".join(f"{s}\t{t}\n" for s, t in PAIRS))
    out.mkdir()
    (out / "special_tokens_map.json").write_text('{"unk_token": "[UNK]"}')
    (out / "tokenizer_config.json").write_text('{"pad_token": "[PAD]"}')
    _command("train", "translate", "--data", corpus, "--out", out, *TINY)
    assert _command("translate", "--model", out, "1 and 2").out.count("\n") == 1
    assert not (out / "special_tokens_map.json").exists()


def test_two_parallel_files_are_a_corpus(tmp_path: Path) -> None:
    sides = [tmp_path / "source.txt", tmp_path / "target.txt"]
    for side, path in enumerate(sides):
        path.write_text("".join(pair[side] + "\n" for pair in PAIRS))
    _command("train", "translate", "--data", *sides, "--reverse", "--out", tmp_path / "m", *TINY)
    assert json.loads((tmp_path / "m" / "task.json").read_text())["reverse"] is True


# Trainings that stop, and go on


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="a signal of POSIX systems")
@pytest.mark.parametrize("every", [["--checkpoint-every", 1], []])  # without it, the first step alone has one
def test_a_killed_training_that_is_resumed_has_the_weights_of_one_that_was_not_killed(
    every: list[object], folder: Path, tmp_path: Path
) -> None:
    def arguments(name: str) -> list[object]:
        data = ["train", "translate", "--data", folder / "pairs.tsv.gz", "--out", tmp_path / name]
        return [*data, *TINY, "--steps", 60, *every, "--evaluate-every", 30]

    status, _ = _signalled(_process(*arguments("killed")), signal.SIGKILL, "step 1/")
    assert status == -signal.SIGKILL
    assert "--resume goes on" not in _command(*arguments("killed"), "--resume").err
    _command(*arguments("whole"))
    assert _weights(tmp_path / "killed") == _weights(tmp_path / "whole")


def test_ctrl_c_leaves_a_usable_model_and_says_how_to_go_on(folder: Path, tmp_path: Path) -> None:
    data = folder / "pairs.tsv.gz"
    command = _process("train", "translate", "--data", data, "--out", tmp_path / "m", *TINY, "--steps", 100_000)
    status, rest = _signalled(command, signal.SIGINT, "step 1/")
    assert status == cli.INTERRUPTED
    assert "stopped after step" in rest and "--resume goes on" in rest and "Traceback" not in rest
    assert _command("translate", "--model", tmp_path / "m", "1 and 2").out.count("\n") == 1


def test_an_interruption_before_the_first_step_leaves_the_previous_model(
    folder: Path, translator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "runs[v2]"  # brackets in a path are no markup
    shutil.copytree(translator, out)
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(console, "watch", interrupt)
        arguments = ("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", out, *TINY, "--overwrite")
        said = _command(*arguments, "--seed", 1, status=cli.INTERRUPTED)
    assert "stopped before the first step" in said.err
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    said = _command(*arguments, "--seed", 1)
    assert said.out.splitlines()[-1] == f"model in {out}"
    assert _weights(out) != before["model.safetensors"]


def test_a_training_killed_before_its_first_step_is_resumed_with_tokens_of_its_own(
    folder: Path, translator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "m"
    shutil.copytree(translator, out)  # an earlier model, of other tokens

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    arguments = ("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", out, *TINY, "--vocab-size", 260)
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_step", killed)
        _command(*arguments, "--overwrite", status=cli.INTERRUPTED)
    _command(*arguments, "--resume")
    assert load_tokenizer(translator).vocab_size > load_tokenizer(out).vocab_size == 260


@pytest.mark.parametrize("every", [["--checkpoint-every", 2], []])  # as often as it says, or never before its end
def test_a_model_whose_checkpoint_is_lost_is_not_written_over_by_a_resumption(
    every: list[object], folder: Path, translator: Path, tmp_path: Path
) -> None:
    out = tmp_path / "m"
    shutil.copytree(translator, out, ignore=shutil.ignore_patterns("checkpoint"))
    arguments = ("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", out, *TINY, "--seed", 1)
    said = _command(*arguments, *every, "--resume", status=2)
    assert f"resume: the checkpoint in {out} is missing after 4 steps; --overwrite begins anew" in said.err
    assert _weights(out) == _weights(translator)


class Kill(BaseException):
    """The process ends here."""


@pytest.fixture(scope="module")
def other_translator(folder: Path) -> Path:
    data = ["--data", folder / "pairs.tsv.gz", *TINY, "--vocab-size", 260, "--checkpoint-every", 1]
    _command("train", "translate", "--out", folder / "other translator", *data)
    return folder / "other translator"


@pytest.mark.parametrize("moment", [0, 1, 3, 9, 14])
def test_a_training_over_another_model_killed_at_any_rename_is_resumed_to_the_same_end(
    moment: int,
    folder: Path,
    translator: Path,
    other_translator: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, replace, count = tmp_path / "m", os.replace, 0
    shutil.copytree(translator, out)  # of other tokens
    before = _weights(out)

    def killed(*arguments: Any) -> None:
        nonlocal count
        if count == moment:
            raise Kill  # and so whatever comes after it
        count += 1
        replace(*arguments)

    data = ["--data", folder / "pairs.tsv.gz", *TINY, "--vocab-size", 260, "--checkpoint-every", 1]
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed)
        with pytest.raises(Kill):
            _command("train", "translate", "--out", out, *data, "--overwrite")
    model, tokenizer = load_both(out)
    assert model.config.vocab_size == tokenizer.vocab_size
    if not moment:  # not begun
        said = _command("train", "translate", "--out", out, *data, "--resume", status=2)
        assert "of another training" in said.err and _weights(out) == before
        return
    _command("train", "translate", "--out", out, *data, "--resume")
    assert _weights(out) == _weights(other_translator)
    assert {path.name for path in out.rglob("*")} == {path.name for path in other_translator.rglob("*")}


def test_a_second_training_into_a_directory_is_refused(folder: Path, translator: Path, tmp_path: Path) -> None:
    arguments = ("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", tmp_path / "m", *TINY)
    for options in ([], ["--overwrite"], ["--resume"]):
        with exclusive(tmp_path / "m"):
            said = _command(*arguments, *options, status=2)
        assert said.err.splitlines()[-1].endswith(
            f"{tmp_path / 'm'}: another training is writing to it; wait for its end, or choose another place"
        )


@pytest.mark.parametrize("name", ["log.jsonl", "loss.png", "gradients.png", "checkpoint"])
@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_a_training_writes_nothing_through_a_link_out_of_its_directory(
    name: str, options: list[str], folder: Path, tmp_path: Path
) -> None:
    out, mine = tmp_path / "m", tmp_path / "mine"
    out.mkdir()
    if name == "checkpoint":
        mine.mkdir()
        (mine / "state.json").write_text("mine")
    else:
        mine.write_text("mine")
    (out / name).symlink_to(mine)
    said = _command("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", out, *TINY, *options, status=2)
    assert "symbolic link" in said.err.splitlines()[-1] and str(out / name) in said.err.splitlines()[-1]
    assert (mine / "state.json" if name == "checkpoint" else mine).read_text() == "mine"
    assert [path.name for path in out.iterdir()] == [name]


def test_a_log_of_somebody_else_is_not_written_over_without_being_asked(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "log.jsonl").write_text("mine")
    arguments = ("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", tmp_path / "m", *TINY)
    said = _command(*arguments, status=2)
    assert "holds log.jsonl of a training already; choose another place" in said.err
    assert (tmp_path / "m" / "log.jsonl").read_text() == "mine"
    _command(*arguments, "--overwrite")


def test_a_full_disk_is_one_line_that_names_the_file(folder: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits of POSIX systems")
    out = tmp_path / "m"
    command = _process("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", out, *TINY)
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))  # noqa: E731  # of the other process
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 2 and "Exception ignored" not in done.stderr and "Traceback" not in done.stderr
    assert re.search(r"error: .*File too large: '.*/m/.*(json|safetensors)'$", done.stderr.splitlines()[-1])
    assert not [path for path in out.rglob("*") if "pending" in path.name]
    _command("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", out, *TINY)


def _named(model: Path, out: Path, **changes: Any) -> Path:
    """A copy of a model directory whose task.json says something else."""
    shutil.copytree(model, out)
    path = out / "task.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return out


def test_evaluate_opens_no_file_that_a_strangers_directory_names(
    folder: Path, translator: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the password\n" * 9)
    theirs = _named(translator, tmp_path / "theirs", data=[str(secret)], held_out=1)
    said = _command("evaluate", "--model", theirs, status=2)
    error = said.err.splitlines()[-1]
    assert f"data: {theirs / 'task.json'} names {secret}, and was not written by a training of yours" in error
    assert f"--data {secret} reads it all the same" in error and "password" not in said.err
    pairs = folder / "pairs.tsv.gz"
    theirs = _named(translator, tmp_path / "more", data=[str(pairs)], held_out=4)  # whatever it is that was changed
    assert "--data" in _command("evaluate", "--model", theirs, status=2).err


def test_a_directory_that_was_moved_is_still_ones_own(translator: Path, tmp_path: Path) -> None:
    shutil.copytree(translator, tmp_path / "moved")
    assert "exact match" in _command("evaluate", "--model", tmp_path / "moved").out


def test_a_home_that_keeps_no_key_trains_and_asks(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").write_text("no folder")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    pairs = folder / "pairs.tsv.gz"
    _command("train", "translate", "--data", pairs, "--out", tmp_path / "m", *TINY)
    assert f"--data {pairs} reads it" in _command("evaluate", "--model", tmp_path / "m", status=2).err
    assert "exact match" in _command("evaluate", "--model", tmp_path / "m", "--data", pairs).out


@pytest.mark.parametrize("data", ["/dev/random", "/dev/zero", "/dev/null"])
def test_a_device_is_no_data(data: str, translator: Path, tmp_path: Path) -> None:
    error = f"{data}: expected a file, found a device"
    assert error in _command("train", "generate", "--data", data, "--out", tmp_path / "m", status=2).err
    assert error in _command("evaluate", "--model", translator, "--data", data, status=2).err


def test_a_training_repeats_to_the_digit_in_another_process(folder: Path, tmp_path: Path) -> None:
    def arguments(name: str) -> list[object]:
        wide = ["--d-model", 64, "--d-ff", 128, "--steps", 2]  # enough for the parallel kernels
        return ["train", "translate", "--data", folder / "pairs.tsv.gz", "--out", tmp_path / name, *TINY, *wide]

    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    subprocess.run(_process(*arguments("other")), env=environment, capture_output=True, check=True)
    _command(*arguments("own"))
    assert _weights(tmp_path / "other") == _weights(tmp_path / "own")


# Bad input


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
    "train translate --data good.tsv --out m --held-out 1 --resume": "resume: m has no training to go on with",
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
    "demo --d-modell 5": "unrecognized arguments: --d-modell",
    "translate": "the following arguments are required: --model",
    "fly": "invalid choice: 'fly'",
    "": "the following arguments are required: COMMAND",
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
    said = _command(*arguments, status=2)
    error = said.err.splitlines()[-1]
    assert BAD[line] in error
    assert error.startswith("transformer") and ": error: " in error
    assert said.err.count(": error: ") == 1 and "Traceback" not in said.err
    assert said.out == ""


def test_bad_lines_are_left_out_on_request_and_counted(tmp_path: Path) -> None:
    corpus = tmp_path / "pairs.tsv"
    corpus.write_bytes("".join(f"{s}\t{t}\n" for s, t in PAIRS).encode() + b"no tab here\ncaf\xe9\tx\n")
    said = _command("train", "translate", "--data", corpus, "--out", tmp_path / "m", "--skip-bad", *TINY)
    assert f"left out: {corpus}: 1 line without a tab (101), 1 line not in UTF-8 (102)" in said.err
    said = _command("evaluate", "--model", tmp_path / "m")  # the same lines are left out again
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
    said = _command("translate", "--model", tmp_path / "m", "x", status=2)
    assert message in said.err and said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "dance"}, "expected one of translate, summarize, fill, generate, got 'dance'"),
        ({"colour": 1}, "unknown setting 'colour'"),
        ({"held_out": "x"}, "held_out: expected a number, got 'x'"),
        ({"data": "pairs.tsv"}, "expected a name and a list of names"),
    ],
)
def test_a_damaged_task_is_named(change: dict[str, object], message: str, translator: Path, tmp_path: Path) -> None:
    shutil.copytree(translator, tmp_path / "m")
    path = tmp_path / "m" / "task.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    said = _command("evaluate", "--model", tmp_path / "m", status=2)
    assert f"{path}: " in said.err and message in said.err and said.err.count("\n") == 1


def test_weights_that_contradict_the_configuration_are_listed(translator: Path, tmp_path: Path) -> None:
    shutil.copytree(translator, tmp_path / "m")
    config = tmp_path / "m" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "d_ff": 64}))
    said = _command("translate", "--model", tmp_path / "m", "x", status=2)
    assert "(32, 16)" in said.err and "(64, 16)" in said.err and said.err.count("\n") == 1


def test_a_resumption_with_other_settings_names_the_first_difference(translator: Path, folder: Path) -> None:
    arguments = ("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", translator, *TINY, "--resume")
    before = _weights(translator)
    said = _command(*arguments, "--lr", 0.5, status=2)
    assert "of another training: config.lr was absent, is 0.5" in said.err
    assert _weights(translator) == before


def test_a_missing_extra_is_named_before_any_work_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == "babel"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "babel", None)
    said = _command("demo", "--out", tmp_path / "demo", status=2)
    assert "pip install 'minigrad-transformer[text]'" in said.err and said.err.count(": error: ") == 1


# Help


def test_help_names_every_command_and_task_with_examples_that_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    commands, tasks = _command("--help").out, _command("train", "--help").out
    for name in USAGE:
        assert f"\n    {name} " in commands
    for path, examples in EXAMPLES.items():
        text = _command(*path.split(), "--help").out
        assert path.split()[-1] in commands + tasks
        assert "None" not in text
        for example in examples:
            assert example in text
            words = shlex.split(example.partition(" <")[0])
            cli._parser().parse_args(words[1:])
        assert max(map(len, text.partition("for example:")[0].splitlines())) <= 85


def test_the_tokens_of_a_resumed_training_are_those_it_began_with(writer: Path) -> None:
    assert load_tokenizer(writer).vocab_size == len(set("to be or not to be, that is the question\n"))
