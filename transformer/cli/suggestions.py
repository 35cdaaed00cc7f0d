"""Suggestions for unknown words: the options of other tools by ours, and misspelt words."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

OTHER_TOOLS = {  # our option → its names in other tools; where several have a name, the command's own counts
    "steps": "epochs num-epochs num-train-epochs max-epochs max-steps max-iters iterations num-steps updates",
    "batch-tokens": "batch-size bs train-batch-size per-device-train-batch-size max-tokens",
    "max-new-tokens": "max-tokens max-length length num-tokens max-decode-length max-len",
    "lr": "learning-rate",
    "warmup": "warmup-steps warmup-iters num-warmup-steps warmup-updates",
    "schedule": "scheduler lr-scheduler lr-scheduler-type lr-decay",
    "optimizer": "optim",
    "accumulate": "gradient-accumulation gradient-accumulation-steps grad-accum update-freq accum-count",
    "clip-norm": "clip grad-clip max-grad-norm gradient-clip-val clip-grad",
    "weight-decay": "wd decay",
    "precision": "fp16 bf16 amp dtype half mixed-precision",
    "evaluate-every": "eval-every eval-steps eval-interval validate-interval valid-steps",
    "checkpoint-every": "save-steps save-every save-interval save-checkpoint-steps",
    "patience": "early-stopping early-stopping-patience",
    "seed": "random-seed manual-seed",
    "out": "output output-dir save-dir model-dir model out-dir save",
    "output": "out output-file save",
    "resume": "resume-from-checkpoint continue restore",
    "overwrite": "force overwrite-output-dir",
    "tensorboard": "log-dir logging-dir tb",
    "config": "config-file config-yml args-file settings",
    "data": "input train train-file train-data dataset corpus file files",
    "held-out": "validation valid dev test-size val-split validation-split",
    "model": "model-dir model-name-or-path model-path checkpoint ckpt path out dir",
    "layers": "num-layers n-layer n-layers num-hidden-layers depth encoder-layers decoder-layers",
    "d-model": "hidden-size hidden-dim embed-dim embedding-dim n-embd emb-size width dim",
    "num-heads": "heads n-head n-heads nhead num-attention-heads",
    "d-ff": "ffn-dim intermediate-size dim-feedforward transformer-ff",
    "max-length": "max-len max-seq-len max-seq-length block-size context context-length seq-len",
    "vocab-size": "vocab bpe-size num-words",
    "num-beams": "beam beams beam-size beam-width",
    "length-penalty": "alpha lenpen",
    "temperature": "temp sampling-temperature",
    "stop-strings": "stop stop-sequences",
    "prompt": "text start input",
    "from": "source src source-lang src-lang",
    "to": "target tgt target-lang tgt-lang",
    "count": "top-k k n topk num-pairs",
}


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """Suggestion for an unknown word: the known one that other tools call so, or else one spelt nearly so."""
    known = list(known)
    bare = word.lstrip("-").replace("_", "-").lower()
    mark = "--" if word.startswith("-") else ""
    if mark:
        for name, others in OTHER_TOOLS.items():
            if mark + name in known and bare in others.split():
                return mark + name
    close = get_close_matches(mark + bare, known, n=1)
    return close[0] if close else None


def hint(word: str, known: Iterable[str]) -> str:
    """Suggestion as the end of an error message, empty if there is none."""
    found = suggestion(word, known)
    return f"; did you mean {found}?" if found else ""
