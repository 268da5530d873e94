// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace polyphase {

// Metrics of extractive question answering, as the official scripts of SQuAD 1.1 (Rajpurkar et al.
// 2016) and SQuAD 2.0 (Rajpurkar et al. 2018) compute them. Unicode: see unicode.hpp for what is
// not exactly Python's.

// Lower-cases, removes ASCII punctuation, then the words "a", "an" and "the", and leaves one blank
// between words.
std::string normalized_answer(std::string_view answer);

// A prediction against the answers given for one question: the best of each over the answers, in
// [0, 1]. No answers, or none that normalises to anything, means that the question has no answer:
// then both are 1 for an empty prediction and 0 for any other, which is SQuAD 2.0's rule.
struct AnswerScore {
  double exact_match = 0, f1 = 0;
};
AnswerScore score_answer(std::string_view prediction, const std::vector<std::string>& answers);

// As SQuAD 1.1's script has it: every answer counts, also one that normalises to nothing, whose F1
// is 0 (its exact match is 1 when the prediction normalises to nothing too). At least one answer,
// else std::logic_error.
AnswerScore score_answer_squad_1(std::string_view prediction,
                                 const std::vector<std::string>& answers);

// Sums over questions, so that those of data-parallel ranks can be added.
struct AnswerSums {
  double exact_match = 0, f1 = 0;
  std::int64_t num_questions = 0;

  void add(const AnswerScore& score);
  // In percent, as the scripts print; 0 without questions.
  double exact_match_percent() const;
  double f1_percent() const;
};

// One question of SQuAD 2.0 for the search of a threshold.
struct NoAnswerCase {
  double score = 0;             // of the predicted text: its exact match, or its F1
  double no_answer = 0;         // how sure the model is that there is no answer; any scale
  bool has_answer = false;      // in the data
  bool predicted_text = false;  // the predicted text is not empty
};

// The score when predictions are emptied wherever no_answer exceeds the threshold.
double score_with_threshold(const NoAnswerCase& question, double threshold);

// The threshold on no_answer with the highest sum of scores, and that sum in percent of all
// questions (best_exact, best_exact_thresh and their F1 siblings of the SQuAD 2.0 script: questions
// in the order of no_answer, the first best one; 0 when answering nothing is best).
struct BestThreshold {
  double percent = 0, threshold = 0;
};
BestThreshold best_no_answer_threshold(std::vector<NoAnswerCase> questions);

}  // namespace polyphase
