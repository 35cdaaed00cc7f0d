"""Usage lines and examples of each command's help."""

from transformer.data.tokenizer import PLACEHOLDER

USAGE = {  # arguments of each command
    "demo": "[options]",
    "train": "TASK --out DIR [--data FILE ...] [options]",
    "translate": "--model DIR [options] [TEXT ...]",
    "summarize": "--model DIR [options] [TEXT ...]",
    "generate": "--model DIR [--prompt TEXT | --chat [TEXT]] [options]",
    "fill": "--model DIR [--count N] TEXT",
    "classify": "--model DIR [--count N] [TEXT ...]",
    "embed": "--model DIR [--out FILE] [options] [TEXT ...]",
    "evaluate": "--model DIR [options]",
    "draw": "--model DIR [--layer NAME] [-o FILE] TEXT",
    "explain": "--model DIR [-o FILE] TEXT",
    "info": "DIR",
    "merge": "--model DIR --out DIR",
}
EXAMPLES = {  # by the command's name
    "demo": ("transformer demo", "transformer demo --to fr --out demo-fr"),
    "train": (
        "transformer train translate --data pairs.tsv.gz --out my-model",
        "transformer train summarize --out my-summarizer",
        "transformer train fill --out my-filler",
        "transformer train generate --data plays.txt --out my-writer",
        "transformer train classify --data reviews.tsv --out my-classifier",
    ),
    "translate": (
        'transformer translate --model demo/model --num-beams 4 "May 3, 2024"',
        "transformer translate --model demo/model < sentences.txt > translations.txt",
    ),
    "summarize": ("transformer summarize --model my-summarizer < article.txt",),
    "generate": (
        'transformer generate --model my-writer --prompt "ROMEO:"',
        'transformer generate --model my-writer --prompt "ROMEO:" --temperature 0.5 --seed 1',
        'transformer generate --model smollm2-135m-instruct --chat "Name three rivers."',
    ),
    "fill": (f'transformer fill --model my-filler "the {PLACEHOLDER} statement"',),
    "classify": (
        'transformer classify --model my-classifier "a good film"',
        "transformer classify --model my-classifier < sentences.txt > labels.tsv",
    ),
    "embed": (
        'transformer embed --model all-MiniLM-L6-v2 "A guitar is played."',
        "transformer embed --model all-MiniLM-L6-v2 --out sentences.npy < sentences.txt",
    ),
    "evaluate": (
        "transformer evaluate --model my-model --num-beams 4",
        "transformer evaluate --model my-model --data test.tsv --all",
    ),
    "draw": (
        'transformer draw --model demo/model "May 3, 2024" -o attention.svg',
        'transformer draw --model demo/model --layer encoder.layers.0.self_attention "May 3, 2024" -o own.png',
    ),
    "explain": (
        'transformer explain --model demo/model "May 3, 2024" -o page.html',
        'transformer explain --model my-writer --max-new-tokens 30 "ROMEO:" -o page.html',
    ),
    "info": ("transformer info demo/model",),
    "merge": ("transformer merge --model my-adapter --out my-model",),
    "train translate": (
        "transformer train translate --data pairs.tsv --out my-model",
        "transformer train translate --data corpus.en corpus.de --reverse --out my-model",
        "transformer train translate --data cldr:en-fr --steps 1000 --out my-model",
    ),
    "train summarize": (
        "transformer train summarize --out my-summarizer",
        "transformer train summarize --data texts-and-summaries.tsv --max-length 512 --out my-summarizer",
    ),
    "train fill": (
        "transformer train fill --out my-filler",
        "transformer train fill --data book.txt --layers 6 --out my-filler",
    ),
    "train generate": (
        "transformer train generate --data plays.txt --out my-writer",
        "transformer train generate --data plays.txt --from gpt2 --lora 8 --out my-adapter",
        "transformer train generate --data plays.txt --preset llama-nano --vocab-size 1000 --out my-writer",
    ),
    "train classify": (
        "transformer train classify --data reviews.tsv --out my-classifier",
        "transformer train classify --data reviews.tsv --layers 4 --steps 3000 --out my-classifier",
    ),
}
