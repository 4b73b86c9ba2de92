"""A model's tokenizer: it can be padded, writes chats, and only tokens that the model has."""

from collections.abc import Sequence
from typing import Any

from circuits.errors import expect, listed, reading
from circuits.templates import require_chat_template


def require_tokens(hf_model: Any, tokenizer: Any, name: str, written: Sequence[int] = ()) -> None:
    """Refuse a tokenizer that writes tokens for which the model has no embedding.

    A special token beyond the vocabulary is let through where it is not ``written`` by the
    template: Gemma's text models come with the tokenizer of those that see pictures.

    Raises:
        UserError: names the first few.
    """
    rows = hf_model.get_input_embeddings().weight.shape[0]
    special = {t.content for t in tokenizer.added_tokens_decoder.values() if t.special}
    beyond = [t for t, i in tokenizer.get_vocab().items() if i >= rows and t not in special]
    beyond += tokenizer.convert_ids_to_tokens([i for i in written if i >= rows])
    of, advice = f"model {name}", "give the tokenizer that it was saved with"
    wanted = f"a tokenizer of at most the model's {rows} tokens"
    expect(not beyond, wanted, f"{len(beyond)} more ({listed(beyond)})", advice, of)
    with reading(of, "ids of tokens that end an answer (eos_token_id)", "mend its configuration"):
        ends = stop_ids(hf_model, tokenizer)
    expect(
        all(0 <= end < rows for end in ends),
        f"tokens that end an answer (eos_token_id) from 0 to {rows - 1}",
        ends,
        "mend its configuration",
        of,
    )


def stop_ids(hf_model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Token ids that end an answer, by the model's generation settings and its tokenizer."""
    end = getattr(hf_model.generation_config, "eos_token_id", None)
    ends = end if isinstance(end, list) else [end, tokenizer.eos_token_id]
    return tuple(sorted({int(e) for e in ends if e is not None}))


def ready(tokenizer: Any, name: str) -> Any:
    """A tokenizer that writes chats, and can be padded."""
    require_chat_template(tokenizer, name)
    return padding(tokenizer)


def padding(tokenizer: Any) -> Any:
    """The tokenizer, which pads with the end of a text if with nothing else."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
