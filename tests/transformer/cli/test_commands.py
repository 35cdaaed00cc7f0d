"""The commands end to end, at a small size."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from tests.transformer.cli.conftest import CHARACTERS, PAIRS, SHORT, SIZES, TINY, command_line, run
from transformer import (
    GenerationConfig,
    Tokenizer,
    Transformer,
    TransformerConfig,
    cli,
    generate,
)

pytestmark = pytest.mark.slow


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
    assert run(*translating[3:]).out.count("\n") == 1
    picture = tmp_path / "picture.svg"
    run(*drawing[3:-1], picture)
    assert "<svg" in picture.read_text()


def test_the_demo_supports_other_languages_and_resumes(tmp_path: Path) -> None:
    arguments = ("demo", "--to", "fr", "--count", 1500, "--out", tmp_path / "demo", *TINY, "--held-out", 20)
    run(*arguments, "--checkpoint-every", 2)
    said = run(*arguments, "--resume")  # nothing is left to do but to look at the result
    assert "20 held-out phrases" in said.out


def test_sentences_come_from_arguments_or_standard_input(translator: Path) -> None:
    from_arguments = run("translate", "--model", translator, "1 and 2", "3 and 4").out
    from_input = run("translate", "--model", translator, stdin="1 and 2\n3 and 4\n").out
    assert from_arguments == from_input
    assert from_arguments.count("\n") == 2
    assert run("translate", "--model", translator, "--num-beams", 3, "1 and 2").out.count("\n") == 1


def test_each_line_to_translate_gives_a_line_an_empty_one_too(translator: Path) -> None:
    one, two = run("translate", "--model", translator, "1 and 2", "3 and 4").out.splitlines()
    lines = run("translate", "--model", translator, stdin="1 and 2\n\n  \r\n3 and 4").out.split("\n")
    assert lines == [one, "", "", two, ""]
    assert run("translate", "--model", translator, stdin="\n").out == "\n"
    assert "expected some text, got none" in run("translate", "--model", translator, status=2).err


def test_lines_come_out_as_they_come_in(translator: Path) -> None:
    command = command_line("translate", "--model", translator)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            for line in ("1 and 2\n", "\n", "3 and 4\n"):
                process.stdin.write(line)
                process.stdin.flush()
                assert process.stdout.readline() == run("translate", "--model", translator, stdin=line).out
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
def test_files_that_are_not_utf8_are_named(
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
    line = f"{shlex.join(command_line('translate', '--model', translator))} {redirection}"
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
    run("translate", "--model", translator, "</s>")
    run("translate", "--model", translator, "--special-tokens", "</s>")
    run("translate", "--model", translator, "--special-tokens", stdin="</s>\n")
    assert len(read[0][0]) > 2 and read[1] == read[2] == [[2, 2]]
    writer = ("train", "generate", "--data", folder / "verse.txt", "--out", tmp_path / "w", *CHARACTERS)
    run(*writer, "--vocab-size", 280)
    line = ("generate", "--model", tmp_path / "w", "--prompt", "<s>to", "--max-new-tokens", 3, "--seed", 1)
    said, special = run(*line).out, run(*line, "--special-tokens").out
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
    run(*line)
    assert {name: getattr(asked[-1], name) for name in says} == says and asked[-1].max_new_tokens is None
    run(*line, "--num-beams", 2, "--length-penalty", 1.5, "--max-new-tokens", 3)
    changed = {**says, "num_beams": 2, "length_penalty": 1.5, "max_new_tokens": 3}
    assert {name: getattr(asked[-1], name) for name in changed} == changed
    sampling = {"do_sample": True, "num_return_sequences": 4, "min_new_tokens": 5}
    other = _directory(translator, tmp_path / "other", sampling)
    run(command, "--model", other, *line[3:], "--num-beams", 2, "--max-new-tokens", 3)
    assert (asked[-1].num_beams, asked[-1].do_sample, asked[-1].num_return_sequences) == (2, False, 1)


def test_a_translator_trained_here_is_searched_as_the_paper_says(
    translator: Path, asked: list[GenerationConfig]
) -> None:
    run("translate", "--model", translator, "--num-beams", 4, "1 and 2")
    assert (asked[0].length_penalty, asked[0].length_penalty_form) == (0.6, "paper")


def test_a_text_is_continued_by_the_directorys_settings(
    writer: Path, tmp_path: Path, asked: list[GenerationConfig]
) -> None:
    def text(place: str, generation: dict[str, Any], *options: object) -> str:
        model = _directory(writer, tmp_path / place, generation)
        return run("generate", "--model", model, "--prompt", "to be", *options).out

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
    assert run("translate", "--model", tmp_path, "1 and 2").out.count("\n") == 1
    said = run("summarize", "--model", tmp_path, "1 and 2", status=2).err
    assert "a model to translate with, not to summarize" in said


def test_a_text_is_summarized_to_a_line_however_long_it_is(summarizer: Path) -> None:
    text = "The old cat sleeps.\nIt is so.\n" * 40
    assert run("summarize", "--model", summarizer, stdin=text).out.count("\n") == 1
    assert run("summarize", "--model", summarizer, text, "A dog.").out.count("\n") == 2


def test_each_missing_word_gets_candidates_with_their_probabilities(filler: Path) -> None:
    lines = run("fill", "--model", filler, "the [MASK] cat sleeps in the [MASK]", "--count", 3).out.splitlines()
    assert len(lines) == 7 and lines[3] == ""
    shares = [float(line.split("%")[0]) for line in lines[:3]]
    assert shares == sorted(shares, reverse=True) and 0 < shares[0] <= 100
    assert all(re.search(r"%  the [^' ]+ cat sleeps in the \[MASK\]$", line) for line in lines[:3])
    assert all("the [MASK] cat sleeps in the" in line for line in lines[4:])


def test_the_same_seed_writes_the_same_text_and_another_one_another(writer: Path) -> None:
    def text(*choices: object) -> str:
        return run("generate", "--model", writer, "--prompt", "to be", "--max-new-tokens", 40, *choices).out

    first = text("--seed", 1)
    assert first == text("--seed", 1) != text("--seed", 2)
    assert first.startswith("to be") and len(first) == len("to be") + 40 + 1  # beyond the context of 16
    assert text("--greedy") == text("--greedy")


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
    run("draw", "--model", model, *chosen, text, "-o", picture)
    drawn = picture.read_text()
    assert "<svg" in drawn and ("&lt;mask&gt;" in drawn) is (name == "filler")  # one token


def test_a_drawing_shows_what_its_options_choose(translator: Path, tmp_path: Path) -> None:
    def drawn(*options: str) -> str:
        run("draw", "--model", translator, *options, "to be", "-o", tmp_path / "chosen.dot")
        return (tmp_path / "chosen.dot").read_text()

    assert "head 0" in drawn() and "head 0" not in drawn("--heads", "1")
    assert "mean of" in drawn("--heads", "mean") and "hundredths" in drawn("--values")
    assert "the first 1 of" in drawn("--max-tokens", "1")
    assert "encoder.layers.0.self_attention · head 0" in drawn("--layer", "all")


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
    refused = run(*command, status=2).err.splitlines()[-1]
    assert "2 with more tokens than max_length=" in refused and "0 1 2 3" in refused and "--skip-bad" in refused
    assert "left out: 2 with more tokens" in run(*command, "--skip-bad").err
    assert "left out: 2 with more tokens" in run("evaluate", "--model", tmp_path / "m").err


def test_a_training_removes_files_of_an_earlier_tokenizer(tmp_path: Path) -> None:
    corpus, out = tmp_path / "pairs.tsv", tmp_path / "m"
    corpus.write_text("".join(f"{s}\t{t}\n" for s, t in PAIRS))
    out.mkdir()
    (out / "special_tokens_map.json").write_text('{"unk_token": "[UNK]"}')
    (out / "tokenizer_config.json").write_text('{"pad_token": "[PAD]"}')
    run("train", "translate", "--data", corpus, "--out", out, *TINY)
    assert run("translate", "--model", out, "1 and 2").out.count("\n") == 1
    assert not (out / "special_tokens_map.json").exists()


def test_two_parallel_files_are_a_corpus(tmp_path: Path) -> None:
    sides = [tmp_path / "source.txt", tmp_path / "target.txt"]
    for side, path in enumerate(sides):
        path.write_text("".join(pair[side] + "\n" for pair in PAIRS))
    run("train", "translate", "--data", *sides, "--reverse", "--out", tmp_path / "m", *TINY)
    assert json.loads((tmp_path / "m" / "task.json").read_text())["reverse"] is True


def test_a_training_writes_its_timeline_to_a_file_that_is_checked_first(folder: Path, tmp_path: Path) -> None:
    words = ["train", "generate", "--data", folder / "verse.txt", "--out", tmp_path / "model", *CHARACTERS, "--trace"]
    said = run(*words, tmp_path / "missing" / "trace.json", status=2)
    assert "error: trace: expected a file in a directory that exists" in said.err
    assert not (tmp_path / "model").exists()
    run(*words, tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {"step 1", "step 4", "backward", "update"} <= {event["name"] for event in events}
