"""ELECTRA: BERT's layers on narrower embeddings. Clark et al., 2020: "ELECTRA: Pre-training text encoders".

Its generator is a masked model. The discriminator's own head, which finds replaced tokens, has no use here.
"""

from __future__ import annotations

from transformer.pretrained.huggingface.bert import (
    BUFFERS,
    CONSTANTS,
    EMBEDDINGS,
    FIXED,
    SETTINGS,
    encoder_classes,
    encoder_places,
    output_matrix,
    unused,
)
from transformer.pretrained.huggingface.family import Architecture, Family, Setting, with_defaults

HEAD = {
    "transform": "generator_predictions.dense",
    "norm": "generator_predictions.LayerNorm",
    "output": "generator_lm_head",
}
HEADS = ("generator_", "discriminator_predictions.", "classifier.")
ELECTRA = Family(
    model_type="electra",
    architectures={
        **encoder_classes(
            "Electra",
            HEAD,
            {"transform": "classifier.dense", "output": "classifier.out_proj"},
            masked={"head_activation": "gelu"},
            texts={"head_activation": "gelu"},
        ),
        "ElectraForPreTraining": Architecture("Encoder", stem="encoder."),
    },
    settings=(
        *with_defaults(SETTINGS, hidden_size=256, num_attention_heads=4, intermediate_size=1024),
        Setting(
            "embedding_size",
            "d_embedding",
            128,
            convert=lambda width, settings: None if width == settings["hidden_size"] else width,
            revert=lambda config: config.embedding_width,
        ),
    ),
    constants=CONSTANTS,
    fixed=FIXED,
    places=encoder_places("electra.", EMBEDDINGS | {"projection": "embeddings_project"}),
    prefix="electra.",
    heads=HEADS,
    buffers=BUFFERS,
    unused=unused("electra.", HEADS),
    **output_matrix("generator_lm_head", "electra.embeddings.word_embeddings"),
)
