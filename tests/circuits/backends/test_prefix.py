"""What all rows begin with is run once, where that is exact."""

import tiny

from circuits.answers import ask
from circuits.backends.prefix import common_prefix, shares_prefix
from circuits.chat import chats
from circuits.models import BACKENDS, Model, in_memory
from circuits.tokens import prompt_ids


class Seen:
    """Counts the tokens that a model embeds."""

    def __init__(self, model):
        self.tokens = 0
        self._handle = model.get_input_embeddings().register_forward_hook(self._count)

    def _count(self, _module, args, _out):
        self.tokens += args[0].numel()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._handle.remove()


def test_what_all_prompts_begin_with_is_run_once(tokenizer):
    prompts, model = prompt_ids(tokenizer, chats(tiny.TEXTS)), tiny.llama(len(tokenizer))
    shared, longest = common_prefix(prompts), max(map(len, prompts))
    assert shared == 3
    with Seen(model) as seen:
        ask(in_memory(model, tokenizer), prompts, 1)
    assert seen.tokens == shared + len(prompts) * (longest - shared)
    windowed = tiny.mistral(len(tokenizer))  # control: nothing may be shared
    with Seen(windowed) as seen:
        ask(in_memory(windowed, tokenizer), prompts, 1)
    assert seen.tokens == len(prompts) * longest


def test_a_prefix_is_shared_under_a_window_only_if_all_columns_fit_into_it(tokenizer):
    windowed = tiny.gemma2(len(tokenizer))
    assert shares_prefix(windowed, 8)
    assert not shares_prefix(windowed, 9)
    assert shares_prefix(tiny.llama(len(tokenizer)), 10_000)
    windowed.config.layer_types = ["full_attention", "linear_attention", "full_attention"]
    assert not shares_prefix(windowed, 8)


def test_the_common_prefix_is_what_every_row_begins_with():
    assert common_prefix([(1, 2, 3), (1, 2, 4), (1, 2, 3, 5)]) == 2
    assert common_prefix([(1, 2), [1, 2, 9]]) == 2
    assert common_prefix([(1, 2), (3, 2)]) == 0


def test_every_back_end_answers_alike_after_an_opening(tokenizer):
    prompts = prompt_ids(tokenizer, chats(tiny.TEXTS))
    said = [
        ask(Model(make(tiny.llama(len(tokenizer)), tokenizer, "llama"), tokenizer), prompts, 5)
        for make in BACKENDS.values()
    ]
    assert said[0] == said[1] == said[2]
    assert len(set(said[0])) > 1
