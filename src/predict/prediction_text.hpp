// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "predict/predict.hpp"

namespace polyphase {

enum class PredictionFormat { kText, kJsonLines };

// Predictions of one task for people and programs; each ends in a line end.
//
// Text: a line a sample, values between tabs. Classification: the best class and its probability.
// Several labels: those of at least one half, each with its probability. Regression: the number.
// Question answering: the answer ("" where none scores above it by more than the threshold), the
// score of the best span and that of none. Nothing of an empty line. Tagging: CoNLL, a line a word
// and a blank line behind a sentence, nothing of an empty line.
//
// JSON lines: an object a sample with all probabilities, null for an empty line.
class PredictionWriter {
 public:
  PredictionWriter(recipe::TaskKind task, std::vector<std::string> label_names,
                   PredictionFormat format, double no_answer_threshold = 0)
      : task_(task),
        label_names_(std::move(label_names)),
        format_(format),
        no_answer_threshold_(no_answer_threshold) {}

  std::string operator()(const InputSample& sample, const SamplePrediction& prediction) const;

 private:
  std::string text_of(const InputSample& sample, const SamplePrediction& prediction) const;
  std::string json_of(const InputSample& sample, const SamplePrediction& prediction) const;
  std::vector<std::size_t> labels_of(const Prediction& prediction) const;

  recipe::TaskKind task_;
  std::vector<std::string> label_names_;
  PredictionFormat format_;
  double no_answer_threshold_;  // in logits
};

}  // namespace polyphase
