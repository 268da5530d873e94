# SPDX-License-Identifier: Apache-2.0
"""What the transformers library makes of lines of text with an exported model (export_test.py).

transformers_say.py generate FOLDER: the likeliest 12 tokens, a line each.
transformers_say.py predict FOLDER: probabilities of a classification head on the first hidden state (of a causal model: the last).
"""
import json
import sys

import sentencepiece
import torch
import transformers
from safetensors.torch import load_file

CLS, SEP, NEW_TOKENS = 2, 3, 12


def continuation(model, tokens):
    """Greedy; of an encoder and decoder, what is written of the tokens."""
    writes = model.config.is_encoder_decoder
    row = [CLS] if writes else [CLS] + tokens
    begin = len(row)
    while len(row) < begin + NEW_TOKENS:
        inputs = {"input_ids": torch.tensor([row])}
        if writes:
            inputs = {"input_ids": torch.tensor([[CLS] + tokens + [SEP]]), "decoder_input_ids": torch.tensor([row])}
        likeliest = int(model(**inputs).logits[0, -1].argmax())
        if likeliest == SEP:
            break
        row.append(likeliest)
    return row[begin:]


def probabilities(model, weights, tokens):
    states = model(input_ids=torch.tensor([[CLS] + tokens + [SEP]])).last_hidden_state[0]
    state = states[0 if model.config.model_type == "bert" else -1]
    head = "head.classification.output"
    return torch.softmax(state @ weights[f"{head}.weight"].T + weights[f"{head}.bias"], -1).tolist()


@torch.no_grad()
def main(command, folder):
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/tokenizer.model")
    name = json.load(open(f"{folder}/config.json"))["architectures"][0]
    model = (getattr(transformers, name) if command == "generate" else transformers.AutoModel).from_pretrained(folder).eval()
    weights = load_file(f"{folder}/model.safetensors")
    for line in sys.stdin:
        tokens = tokenizer.encode(line.strip())
        if command == "predict":
            print(json.dumps(probabilities(model, weights, tokens)))
        else:
            print(tokenizer.decode([t for t in continuation(model, tokens) if t < tokenizer.get_piece_size()]).strip())


main(*sys.argv[1:])
