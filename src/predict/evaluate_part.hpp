// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "predict/predict.hpp"
#include "predict/trained_phase.hpp"
#include "train/stop_request.hpp"

namespace polyphase {

struct PartMetrics {
  std::map<std::string, double> values;
  std::int64_t num_samples = 0;
};

// Metrics of the phase's model on the whole of a part (train, valid or test) of its corpus, as
// training reports them. Causal language models have two more, of every token and document end
// predicted: bits_per_byte of the prepared text, and word_perplexity over the words between white
// space and, of a raw text, its line ends. Collective; errors are agreed. Empty when a stop was
// asked for.
std::optional<PartMetrics> evaluate_part(TrainedPhase& phase, const std::string& part,
                                         const Communicator& world, StopRequest& stop);

// exact_match and f1 of the answers' texts, in percent, as the official script of SQuAD 1.1 prints
// them, or, where a question has no answer, that of SQuAD 2.0: then also HasAns_* and NoAns_*, of
// the questions with an answer and without, and the best scores that any threshold gives, with it
// (best_exact, best_exact_thresh, best_f1, best_f1_thresh). Answers are those of
// `no_answer_threshold`, the best ones are sought over all margins. Reads the rounds to their end.
// Collective.
PartMetrics evaluate_answers(PredictionRounds& rounds, double no_answer_threshold,
                             const Communicator& data);

}  // namespace polyphase
