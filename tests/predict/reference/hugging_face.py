# SPDX-License-Identifier: Apache-2.0
"""Writes hugging_face.json: names and shapes of the tensors of small models of the transformers library.

A case has the recipe's section `model`, what the phase trains (see hugging_face_test.cpp), the class, and what that class'
own state is made of; tensors that are tied to another are left out. Usage: PYTHON hugging_face.py > hugging_face.json
(PYTHON has torch and transformers).
"""
import json

import transformers as t

VOCABULARY, LABELS = 50, 5
BERT = dict(vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32,
            max_position_embeddings=12, type_vocab_size=2)
LLAMA = dict(vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=4,
             intermediate_size=24, max_position_embeddings=12)
SENTINELS = 100
T5 = dict(vocab_size=VOCABULARY + SENTINELS, d_model=16, d_kv=4, d_ff=32, num_layers=2, num_decoder_layers=1, num_heads=4,
          relative_attention_num_buckets=8, relative_attention_max_distance=10)
SMALL = {"num_layers": 2, "width": 16, "num_heads": 4, "feed_forward": 32, "max_tokens": 12}
LLAMA_RECIPE = {**SMALL, "family": "gpt", "num_key_heads": 2, "feed_forward": 24, "positions": "rotary", "norm_kind": "rms",
                "activation": "swiglu", "biases": False, "tied_output": False}
T5_RECIPE = {**SMALL, "family": "t5", "num_decoder_layers": 1, "relative_buckets": 8, "relative_max_distance": 10}
T5_1_1 = {"activation": "geglu", "tied_output": False}

CASES = [
    ("mlm+nsp", {**SMALL, "family": "bert"}, t.BertForPreTraining, t.BertConfig(**BERT)),
    ("mlm", {**SMALL, "family": "bert", "segments": False}, t.BertForMaskedLM, t.BertConfig(**BERT)),
    ("tagging", {**SMALL, "family": "bert"}, t.BertForTokenClassification, t.BertConfig(**BERT, num_labels=LABELS)),
    ("clm", {**SMALL, "family": "gpt"}, t.GPT2LMHeadModel,
     t.GPT2Config(vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=4, n_inner=32, n_positions=12)),
    ("clm", LLAMA_RECIPE, t.LlamaForCausalLM, t.LlamaConfig(**LLAMA)),
    ("clm", {**LLAMA_RECIPE, "tied_output": True}, t.LlamaForCausalLM, t.LlamaConfig(**LLAMA, tie_word_embeddings=True)),
    ("span", T5_RECIPE, t.T5ForConditionalGeneration, t.T5Config(**T5, feed_forward_proj="relu")),
    ("generation", {**T5_RECIPE, **T5_1_1}, t.T5ForConditionalGeneration,
     t.T5Config(**T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False)),
]
CASES[-1][3].tie_word_embeddings = False  # which version 5 of the library sets anew where the configuration is made


def own_tensors(model):
    """Of those that share memory, the first; buffers that are made from the configuration are none."""
    seen, own = set(), {}
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    for name, tensor in model.state_dict().items():
        shared = "shared.weight" in parameters and name.endswith("embed_tokens.weight")  # T5's stacks read one table
        if name in parameters and not shared and tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            own[name] = list(tensor.shape)
    return own


print(json.dumps([{"trains": trains, "model": model, "class": kind.__name__, "tensors": own_tensors(kind(config))}
                  for trains, model, kind, config in CASES], indent=1))
