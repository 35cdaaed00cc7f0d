"""Suggestions for unknown words: the options of other tools by ours, and misspelt words."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

OTHER_TOOLS = {  # our option → its names in other tools; where several have a name, the command's own counts
    "steps": "epochs num-epochs num-train-epochs max-epochs max-steps max-iters iterations num-steps updates "
    "max-update max-epoch train-steps",
    "batch-tokens": "batch-size bs train-batch-size per-device-train-batch-size max-tokens max-sentences "
    "batch-type per-device-eval-batch-size",
    "max-new-tokens": "max-tokens max-length length num-tokens max-decode-length max-len max-len-b",
    "lr": "learning-rate",
    "warmup": "warmup-steps warmup-iters num-warmup-steps warmup-updates warmup-ratio",
    "schedule": "scheduler lr-scheduler lr-scheduler-type lr-decay decay-method",
    "optimizer": "optim",
    "accumulate": "gradient-accumulation gradient-accumulation-steps grad-accum update-freq accum-count accum",
    "clip-norm": "clip grad-clip max-grad-norm gradient-clip-val clip-grad",
    "weight-decay": "wd decay",
    "precision": "fp16 bf16 amp dtype half mixed-precision",
    "evaluate-every": "eval-every eval-steps eval-interval validate-interval valid-steps eval-strategy "
    "evaluation-strategy eval-iters",
    "checkpoint-every": "save-steps save-every save-interval save-checkpoint-steps save-interval-updates "
    "always-save-checkpoint",
    "patience": "early-stopping early-stopping-patience",
    "seed": "random-seed manual-seed",
    "out": "output output-dir save-dir model-dir model out-dir save save-model",
    "output": "out output-file save",
    "resume": "resume-from-checkpoint continue restore restore-file train-from init-from",
    "overwrite": "force overwrite-output-dir",
    "tensorboard": "log-dir logging-dir tb tensorboard-logdir report-to",
    "config": "config-file config-yml args-file settings",
    "data": "input train train-file train-data dataset corpus file files trainpref dataset-name",
    "held-out": "validation valid dev test-size val-split validation-split validation-file "
    "validation-split-percentage valid-file test-file validpref valid-data",
    "model": "model-dir model-name-or-path model-path checkpoint ckpt path out dir",
    "layers": "num-layers n-layer n-layers num-hidden-layers depth encoder-layers decoder-layers enc-layers dec-layers",
    "d-model": "hidden-size hidden-dim embed-dim embedding-dim n-embd emb-size width dim encoder-embed-dim "
    "decoder-embed-dim rnn-size word-vec-size d-embed",
    "num-heads": "heads n-head n-heads nhead num-attention-heads encoder-attention-heads decoder-attention-heads",
    "d-ff": "ffn-dim intermediate-size dim-feedforward transformer-ff encoder-ffn-embed-dim decoder-ffn-embed-dim",
    "max-length": "max-len max-seq-len max-seq-length block-size context context-length seq-len max-source-length "
    "max-target-length src-seq-length max-position-embeddings max-source-positions",
    "vocab-size": "vocab bpe-size num-words src-vocab-size tgt-vocab-size joined-dictionary nwordssrc",
    "num-beams": "beam beams beam-size beam-width",
    "length-penalty": "alpha lenpen",
    "temperature": "temp sampling-temperature",
    "stop-strings": "stop stop-sequences",
    "prompt": "text start input",
    "from": "source src source-lang src-lang",
    "to": "target tgt target-lang tgt-lang",
    "betas": "adam-betas adam-beta1 adam-beta2 beta1 beta2 momentum",
    "average": "average-decay keep-last-epochs keep-best-checkpoints swa",
    "tie": "share-all-embeddings share-decoder-input-output-embed tie-embeddings tied-embeddings "
    "tie-word-embeddings share-embeddings share-decoder-embeddings",
    "preset": "arch architecture config-name",
    "norm-first": "encoder-normalize-before decoder-normalize-before pre-norm prenorm",
    "positions": "position-encoding pos-enc positional-encoding position-embedding",
    "activation": "activation-fn hidden-act",
    "final-factor": "min-lr end-lr lr-end",
    "clip-value": "clip-grad-value",
    "top-k": "sampling-topk topk",
    "top-p": "sampling-topp nucleus nucleus-p",
    "layer-drop": "encoder-layerdrop decoder-layerdrop layerdrop",
    "layer": "layers",
    "count": "top-k k n topk num-pairs",
}


def suggestion(word: str, known: Collection[str]) -> str | None:
    """Suggestion for an unknown word: the known one that other tools call so, or else one spelt nearly so."""
    bare = word.lstrip("-").replace("_", "-").lower()
    mark = word.startswith("-") * "--"
    ours = {name.removeprefix(mark): name for name in known}
    others: dict[str, str] = {}
    if mark:
        for name in reversed(OTHER_TOOLS):
            if mark + name in known:
                others |= dict.fromkeys(OTHER_TOOLS[name].split(), mark + name)
    if bare in others:
        return others[bare]
    if mark and bare not in ours and any(bare in f"{name} {words}".split() for name, words in OTHER_TOOLS.items()):
        return None  # it belongs to other commands, whatever it resembles here
    for names, cutoff in ((ours, 0.75), (others, 0.9)):  # by the share of equal letters
        for close in get_close_matches(bare, names, n=1, cutoff=cutoff):
            return names[close]
    return None


def hint(word: str, known: Collection[str]) -> str:
    """Suggestion as the end of an error message, empty if there is none."""
    found = suggestion(word, known)
    return f"; did you mean {found}?" if found else ""
