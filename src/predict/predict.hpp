// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "predict/sample_input.hpp"
#include "predict/trained_phase.hpp"

namespace polyphase {

// What the model says of one sample of the input.
struct SamplePrediction {
  bool empty = true;      // there was no text: nothing else is set
  Prediction prediction;  // tagging: tags of all words; question answering: the best of all windows
  // Question answering: the text of the best span, however likely it is that there is none.
  std::string span;

  // By how much no answer scores above the best span, in logits.
  double no_answer_margin() const;
  // The span, or "" where the margin exceeds the threshold (Devlin et al., 2019, section 4.3).
  std::string answer(double no_answer_threshold) const;
};

// A part of the input with what the model says of it, in order.
struct PredictedSamples {
  std::vector<InputSample> samples;
  std::vector<SamplePrediction> predictions;
};

// Texts that did not fit into max_tokens, of the whole job (EncodedInput::too_long).
struct InputCounts {
  std::int64_t num_samples = 0, num_too_long = 0;
};

// Reads an input in rounds of bounded size, and deals each round to the data-parallel ranks in
// blocks. Samples go through the model in groups that depend on the input alone, so predictions are
// the same bits on any number of data-parallel ranks.
class PredictionRounds {
 public:
  // `phase` is that of a task but for generation. `input` is there on rank 0 alone. With
  // `one_by_one` a round is one sample: for a person who types.
  PredictionRounds(TrainedPhase& phase, const Communicator& world,
                   std::unique_ptr<SampleInput> input, bool one_by_one);

  // This data-parallel rank's block of the next round, maybe none; empty when all is read.
  // Collective; errors of reading are agreed.
  std::optional<PredictedSamples> next();

  InputCounts counts() const;  // collective

 private:
  std::vector<InputSample> next_round();
  void predict_group(PredictedSamples& block, std::size_t begin, std::size_t end);

  TrainedPhase& phase_;
  const Communicator& world_;
  std::unique_ptr<SampleInput> input_;
  SampleSettings settings_;
  std::int64_t num_sequences_ = 0;  // of a pass, at most
  std::int64_t group_ = 0;          // samples
  std::int64_t groups_ = 0;         // of a round
  std::int64_t num_samples_ = 0;
  std::int64_t num_too_long_ = 0;  // of this data-parallel rank
};

// Texts of a sample of the phase's corpus: one, or two for pairs. Reads one sample.
std::int64_t num_texts_of(const TrainedPhase& phase);

// Throws RecipeError where the phase is no task whose predictions are labels, numbers, tags or
// answers.
void require_predictions(const recipe::Phase& phase);

}  // namespace polyphase
