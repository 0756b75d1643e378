"""A tokenizer of a few words, for teachers with random weights."""

from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

DIM = 32
LINES = [
    "def add(left, right): return left + right",
    "def read(path): return open(path).read()",
    "class Stack: pass  # items are pushed and popped",
    "for item in items: total += item.price * count",
]
SPECIAL = ["<pad>", "<unk>", "<start>", "<end>"]


def save_tokenizer(folder: Path, padding_side: str) -> int:
    """Train a small tokenizer that wraps a text in <start> and <end>; returns the size of its vocabulary."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(LINES, trainers.BpeTrainer(vocab_size=160, special_tokens=SPECIAL))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("<start>", "<end>")],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", padding_side=padding_side
    ).save_pretrained(folder)
    return tokenizer.get_vocab_size()
