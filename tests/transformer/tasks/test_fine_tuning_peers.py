"""The loss that a fine-tuning begins with is that of ``transformers`` for the same texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the peer")
transformers = pytest.importorskip("transformers", reason="the peer")

from tokenizers import Tokenizer as Library, models, pre_tokenizers, processors  # noqa: E402

from tests.transformer.pretrained.huggingface.peer import make  # noqa: E402
from transformer.tasks import TASKS, DataChoice, Settings, train  # noqa: E402
from transformer.train import TrainingConfig, read_log  # noqa: E402

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("default::DeprecationWarning")]
torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

WORDS = [f"w{i}" for i in range(3, 60)]
PAIRS = [(" ".join(WORDS[i : i + 2 + i % 4]), " ".join(WORDS[40 - i : 44 - i + i % 3])) for i in range(12)]
SPECIAL = {  # of peer.py's models: pad, start, end, and how texts are surrounded
    "t5": ("<pad>", "</s>", "<unk>", "$A </s>"),
    "bart": ("<s>", "<pad>", "</s>", "<s> $A </s>"),
    "marian": ("<s>", "<pad>", "</s>", "$A </s>"),
    "gpt2": ("<a>", "<b>", "<|endoftext|>", None),
}


def tokenizer(case: str, directory: Path) -> Any:
    """A tokenizer of words, as ``transformers`` reads it from the directory."""
    *special, around = SPECIAL[case]
    library = Library(models.WordLevel({token: i for i, token in enumerate([*special, *WORDS])}, unk_token=special[0]))
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    library.add_special_tokens(special)
    if around is not None:
        tokens = [(token, i) for i, token in enumerate(special)]
        library.post_processor = processors.TemplateProcessing(single=around, special_tokens=tokens)
    named = {"</s>": "eos_token", "<s>": "bos_token", "<pad>": "pad_token", "<|endoftext|>": "eos_token"}
    names = {named[token]: token for token in special if token in named}
    found = transformers.PreTrainedTokenizerFast(tokenizer_object=library, **names)
    found.save_pretrained(directory)
    return found


def first_loss(task: str, directory: Path, data: Path, **changes: Any) -> float:
    how = TrainingConfig(steps=1, lr=1e-4, label_smoothing=0.0)
    settings = Settings(architecture=changes, vocab_size=None, batch_tokens=512, training=how, pretrained=directory)
    out = directory.parent / "out"
    train(TASKS[task], DataChoice(data=(str(data),), held_out=0 if task == "generate" else 1), settings, out)
    return read_log(out / "log.jsonl")[1][0].loss


@pytest.mark.parametrize("case", ["t5", "bart", "marian"])
def test_targets_begin_and_end_as_the_family_has_them(case: str, tmp_path: Path) -> None:
    theirs = make(case, tmp_path / "model").theirs
    reader = tokenizer(case, tmp_path / "model")
    data = tmp_path / "pairs.tsv"
    data.write_text("".join(f"{source}\t{target}\n" for source, target in PAIRS))
    found = first_loss("translate", tmp_path / "model", data)
    examples = TASKS["translate"].read(DataChoice(data=(str(data),), held_out=1)).train
    inputs = reader([source for source, _ in examples], padding=True, return_tensors="pt")
    targets = reader([target for _, target in examples], padding=True, return_tensors="pt")
    labels = targets["input_ids"].masked_fill(targets["attention_mask"] == 0, -100)
    with torch.no_grad():
        expected = theirs(inputs["input_ids"], attention_mask=inputs["attention_mask"], labels=labels).loss.item()
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_text_is_read_without_special_tokens(tmp_path: Path) -> None:
    theirs = make("gpt2", tmp_path / "model").theirs
    reader = tokenizer("gpt2", tmp_path / "model")
    data = tmp_path / "text.txt"
    data.write_text(" ".join(["w7"] * 40))  # all windows are alike
    found = first_loss("generate", tmp_path / "model", data, max_length=9)
    ids = torch.tensor([reader(data.read_text())["input_ids"][:10]])
    with torch.no_grad():
        assert found == pytest.approx(theirs(ids, labels=ids).loss.item(), rel=1e-5)
