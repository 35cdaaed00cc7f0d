"""Training recipe, in one file that all processes of a comparison read."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from minigrad.io import replace_file
from transformer import TransformerConfig
from transformer.data.tokenizer import Tokenizer
from transformer.json_object import json_object
from transformer.train import TrainingConfig

RECIPE = "recipe.json"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A translator's data, sizes and training. The model is the paper's, small.

    Raises:
        ValueError: a training cannot be like that; the message says why.
    """

    data: str  # the corpus: a name that `transformer.data.read_pairs` reads
    steps: int
    seed: int = 0  # of the first weights, the batches' order and dropout
    held_out: int = 2000  # pairs, the same for every seed
    vocab_size: int = 6000  # tokens of both languages together
    batch_tokens: int = 2048  # padded positions of a batch, on the longer of its two sides
    d_model: int = 192
    num_heads: int = 4
    d_ff: int = 512
    layers: int = 3  # in the encoder and in the decoder
    dropout: float = 0.1
    schedule: str = "cosine"
    warmup: int = 400
    lr: float = 2e-3  # the peak

    def __post_init__(self) -> None:
        self.training_config()  # an error comes before any work

    def model_config(self, tokenizer: Tokenizer) -> TransformerConfig:
        """Model configuration."""
        return TransformerConfig(
            vocab_size=tokenizer.vocab_size,
            d_model=self.d_model,
            num_heads=self.num_heads,
            d_ff=self.d_ff,
            encoder_layers=self.layers,
            decoder_layers=self.layers,
            dropout=self.dropout,
            pad_id=tokenizer.pad_id,
            bos_id=tokenizer.bos_id,
            eos_id=tokenizer.eos_id,
        )

    def training_config(self) -> TrainingConfig:
        """Training configuration; other settings are the paper's."""
        return TrainingConfig(steps=self.steps, schedule=self.schedule, warmup=self.warmup, lr=self.lr, seed=self.seed)

    def check_same(self, directory: Path) -> None:
        """Refuse a directory with results of another recipe.

        Raises:
            ValueError: there is another recipe.
        """
        if (directory / RECIPE).exists() and (found := Recipe.load(directory)) != self:
            mine, theirs = dataclasses.asdict(self), dataclasses.asdict(found)
            name = next(name for name in mine if mine[name] != theirs[name])
            raise ValueError(
                f"{directory}: holds a run with {name} {theirs[name]!r}, not {mine[name]!r}; expected another directory"
            )

    def save(self, directory: Path) -> None:
        """Write it into a directory; results of another recipe must not be there.

        Raises:
            ValueError: there is another recipe.
        """
        self.check_same(directory)
        directory.mkdir(parents=True, exist_ok=True)
        replace_file(directory / RECIPE, (json.dumps(dataclasses.asdict(self), indent=2) + "\n").encode())

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError: it is damaged or of another version.
        """
        path = directory / RECIPE
        try:
            return cls(**json_object(path.read_text("utf-8")))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: not a recipe ({error})") from None
