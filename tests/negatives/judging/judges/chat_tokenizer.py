"""A tokenizer for tiny random causal models, and chat templates for it."""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from sigjepa.negatives.judging.judges.prompt import load_prompt

SPECIAL = ["<pad>", "<unk>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WITHOUT_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + TEMPLATE


def save_tokenizer(
    folder: Path,
    template: str | None,
    *,
    padding_side: str = "right",
    without: str = "",
    whole: Sequence[str] = (),
) -> int:
    """Train a byte-level tokenizer on the prompts; returns the size of its vocabulary.

    without: a character that it has no token for. whole: texts that are one token each.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = [character for character in pre_tokenizers.ByteLevel.alphabet() if character != without]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=SPECIAL, initial_alphabet=alphabet)
    prompts = [load_prompt(name) for name in ("score_c_v1", "score_c_digit_v1")]
    texts = [prompt.system + "".join(prompt.user) for prompt in prompts]
    tokenizer.train_from_iterator([text.replace(without, "") if without else text for text in texts], trainer)
    tokenizer.add_tokens(list(whole))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="<|im_end|>",
        chat_template=template,
        padding_side=padding_side,
    ).save_pretrained(folder)
    return tokenizer.get_vocab_size()
