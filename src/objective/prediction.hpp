// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace polyphase {

// What a task's head says of one sequence; each fills what it has.
struct Prediction {
  // Classification: of every class, the sum is 1. Several labels: of every label by itself.
  std::vector<double> probabilities_K;
  double value = 0;                  // regression
  std::vector<std::int32_t> tags_T;  // tagging: of every word that the sequence holds whole

  // Question answering: the best answer's first and last place in the sequence, the score of it and
  // that of there being none, sums of two logits.
  struct Answer {
    std::int32_t first = 0, last = 0;
    double score = 0, score_of_none = 0;
  };
  Answer answer;
};

}  // namespace polyphase
