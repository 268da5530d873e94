// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "train/phase_model.hpp"

namespace polyphase {

struct GenerationSettings {
  std::int64_t max_new_tokens = 64;
  // Sampling: logits are divided by the temperature (0: always the likeliest token), then the top_k
  // likeliest tokens (0: all) and of these the fewest that hold top_p of the probability remain
  // (Holtzman et al., 2020, section 3.1).
  double temperature = 0.0;
  std::int64_t top_k = 0;
  double top_p = 1.0;
  std::uint64_t seed = 1;
  // Beam search, if there are several: the finished sequence with the largest log-probability
  // divided by (number of its tokens)^length_penalty.
  std::int64_t beams = 1;
  double length_penalty = 1.0;
};

// What is asked for: a source for the encoder (encoder and decoder), or a prompt to be continued.
struct GenerationInput {
  std::vector<std::vector<std::int32_t>> sources;  // ended by [SEP]; empty without an encoder
  std::vector<std::vector<std::int32_t>> prompts;  // begun by [CLS]
  // Numbers of the inputs in the whole job: what is drawn for one does not depend on the others.
  std::uint64_t first_number = 0;
  // Prompt and new tokens together, at most; 0: no limit but max_new_tokens.
  std::int64_t max_tokens = 0;
  bool prompts_are_prefixes = false;  // each is seen from everywhere in it (prefix language model)
  std::int64_t num_pieces = 0;        // of the tokenizer: ids behind them are never generated
};

struct Generated {
  std::vector<std::int32_t> tokens;  // new ones, without [SEP]
  double log_probability = 0;        // in nats, with that of [SEP] where it ended
  bool ended = false;                // by [SEP], not by the limit
};

// Tokens of the only input so far, as they come; greedy search and sampling only.
using OnToken = std::function<void(const std::vector<std::int32_t>& tokens)>;

// Generates for all inputs together, a row of each a step. Collective over the tensor-parallel
// ranks, which all return the same.
std::vector<Generated> generate(PhaseModel& model, const GenerationInput& input,
                                const GenerationSettings& settings, const OnToken& on_token = {});

}  // namespace polyphase
