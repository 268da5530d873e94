// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

// How the model of a phase differs from the recipe's, and what it learns from besides the data.
namespace polyphase::recipe {

// Which of the k layers of the phase before fills layer i of this phase's n: layer_source() in
// load.hpp has the formulas.
enum class Growth { kNone, kStack, kInterpose, kIdentity, kSkip };

// A finished phase of another run.
struct OtherRun {
  std::string run;    // its folder; relative to the recipe's
  std::string phase;  // empty: the only one that is finished, of a run with rounds the target's
};

// Whose hidden states and attention are matched: those of the last layer, or of each of the n
// layers with the evenly spaced ones among the teacher's.
enum class MatchedLayers { kLast, kAll };

// Learning from a finished phase's model (Hinton et al., 2015).
struct Distil {
  std::string teacher;                  // name of an earlier phase, or
  std::optional<OtherRun> teacher_run;  // a phase of another run
  double temperature = 2.0;             // that both models' logits are divided by
  double weight = 0.5;  // of the teacher's distribution; the labels weigh 1 - weight
  // Of the mean squared difference of hidden states, and of the divergence of the distributions
  // that attention heads have over the tokens (as in MiniLM, Wang et al., 2020); 0: none.
  double hidden = 0.0, attention = 0.0;
  MatchedLayers layers = MatchedLayers::kLast;
  // The teacher is asked once, before the first step, about every training sample as it stands in
  // the corpus, and what it said is kept; else it goes through every micro-batch.
  bool kept = false;
};

// Low-rank additions to the weights of products (Hu et al., 2022).
struct Lora {
  std::int64_t rank = 8;
  double alpha = 16.0;             // the addition is multiplied with alpha / rank
  std::vector<std::string> match;  // patterns of the weights' names
};

struct Adaptation {
  // Instead of the model's.
  std::optional<std::int64_t> num_layers, num_decoder_layers;
  Growth growth = Growth::kNone;
  std::optional<Distil> distil;
  std::optional<Lora> lora;
};

}  // namespace polyphase::recipe
