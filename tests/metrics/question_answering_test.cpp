// SPDX-License-Identifier: Apache-2.0
#include "metrics/question_answering.hpp"

#include <gtest/gtest.h>

#include "metrics/reference_numbers.hpp"

namespace polyphase {
namespace {

void expect_score(const AnswerScore& score, const nlohmann::json& expected,
                  const std::string& what) {
  expect_same_digits(score.exact_match, expected[0], what);
  expect_same_digits(score.f1, expected[1], what);
}

std::vector<std::string> answers_of(const nlohmann::json& question) {
  return question.at("answers").get<std::vector<std::string>>();
}

TEST(QuestionAnswering, QuestionsScoreAsInTheSquadScripts) {
  for (const nlohmann::json& question : reference_numbers("question_answering").at("questions")) {
    const std::string prediction = question.at("prediction");
    EXPECT_EQ(normalized_answer(prediction), question.at("normalized").get<std::string>());
    expect_score(score_answer(prediction, answers_of(question)), question.at("squad_2"),
                 prediction);
    if (question.at("squad_1").is_null()) continue;
    expect_score(score_answer_squad_1(prediction, answers_of(question)), question.at("squad_1"),
                 prediction);
  }
}

TEST(QuestionAnswering, TotalsAndThresholdsAreThoseOfTheSquadScripts) {
  const nlohmann::json& reference = reference_numbers("question_answering");
  AnswerSums all, cut;
  std::vector<NoAnswerCase> exact, f1;
  for (const nlohmann::json& question : reference.at("questions")) {
    const std::string prediction = question.at("prediction");
    const AnswerScore score = score_answer(prediction, answers_of(question));
    all.add(score);
    exact.push_back({.score = score.exact_match,
                     .no_answer = question.at("no_answer"),
                     .has_answer = question.at("has_answer"),
                     .predicted_text = !prediction.empty()});
    f1.push_back(exact.back());
    f1.back().score = score.f1;
    cut.add({.exact_match = score_with_threshold(exact.back(), 0.5),
             .f1 = score_with_threshold(f1.back(), 0.5)});
  }
  expect_same_digits(all.exact_match_percent(), reference.at("totals")[0], "exact match");
  expect_same_digits(all.f1_percent(), reference.at("totals")[1], "F1");
  const nlohmann::json& totals_cut = reference.at("totals_at_threshold_0.5");
  expect_same_digits(cut.exact_match_percent(), totals_cut[0], "exact match at 0.5");
  expect_same_digits(cut.f1_percent(), totals_cut[1], "F1 at 0.5");
  const BestThreshold best_exact = best_no_answer_threshold(exact),
                      best_f1 = best_no_answer_threshold(f1);
  expect_same_digits(best_exact.percent, reference.at("best")[0][0], "best exact match");
  expect_same_digits(best_exact.threshold, reference.at("best")[0][1], "its threshold");
  expect_same_digits(best_f1.percent, reference.at("best")[1][0], "best F1");
  expect_same_digits(best_f1.threshold, reference.at("best")[1][1], "its threshold");
}

TEST(QuestionAnswering, Squad1RefusesQuestionsWithoutAnAnswer) {
  EXPECT_THROW(score_answer_squad_1("x", {}), std::logic_error);
  EXPECT_EQ(AnswerSums().f1_percent(), 0);
}

}  // namespace
}  // namespace polyphase
