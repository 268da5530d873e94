// SPDX-License-Identifier: Apache-2.0
#include "metrics/classification.hpp"

#include <gtest/gtest.h>

#include "metrics/reference_numbers.hpp"

namespace polyphase {
namespace {

void expect_score(const ClassScore& score, const nlohmann::json& expected, const char* what) {
  expect_same_digits(score.precision, expected[0], what);
  expect_same_digits(score.recall, expected[1], what);
  expect_same_digits(score.f1, expected[2], what);
}

TEST(Classification, ScoresAreThoseOfScikitLearn) {
  for (const nlohmann::json& reference : reference_numbers("classification")) {
    ConfusionMatrix matrix(reference.at("num_classes"));
    const nlohmann::json &truth = reference.at("truth"), &predicted = reference.at("predicted");
    for (std::size_t row = 0; row < truth.size(); ++row) matrix.add(truth[row], predicted[row]);
    expect_same_digits(accuracy(matrix), reference.at("accuracy"), "accuracy");
    expect_score(macro_score(matrix), reference.at("macro"), "macro");
    expect_score(micro_score(matrix), reference.at("micro"), "micro");
    expect_same_digits(macro_score(matrix).f1, reference.at("f1_score")[0], "f1_score, macro");
    expect_same_digits(micro_score(matrix).f1, reference.at("f1_score")[1], "f1_score, micro");
    expect_same_digits(matthews_correlation(matrix), reference.at("matthews"), "Matthews");
    const std::vector<ClassScore> scores = class_scores(matrix);
    ASSERT_EQ(scores.size(), reference.at("per_class").size());
    for (std::size_t k = 0; k < scores.size(); ++k)
      expect_score(scores[k], reference.at("per_class")[k], "one class");
  }
}

TEST(Classification, MultiLabelScoresAreThoseOfScikitLearn) {
  for (const nlohmann::json& reference : reference_numbers("multi_label")) {
    const auto truth = reference.at("truth").get<std::vector<std::vector<std::uint8_t>>>();
    const auto predicted = reference.at("predicted").get<std::vector<std::vector<std::uint8_t>>>();
    MultiLabelCounts counts(static_cast<std::int64_t>(truth[0].size()));
    for (std::size_t row = 0; row < truth.size(); ++row) counts.add(truth[row], predicted[row]);
    expect_score(macro_score(counts), reference.at("macro"), "macro");
    expect_score(micro_score(counts), reference.at("micro"), "micro");
    expect_same_digits(subset_accuracy(counts), reference.at("subset_accuracy"), "subset");
  }
}

TEST(Classification, ScoresWithoutRowsAreZero) {
  const ConfusionMatrix empty(3);
  EXPECT_EQ(accuracy(empty), 0);
  EXPECT_EQ(macro_score(empty).f1, 0);
  EXPECT_EQ(matthews_correlation(empty), 0);
  EXPECT_EQ(macro_score(MultiLabelCounts(2)).f1, 0);
}

TEST(Classification, ClassesOutsideTheMatrixAreRefused) {
  ConfusionMatrix matrix(3);
  EXPECT_THROW(matrix.add(3, 0), std::logic_error);
  EXPECT_THROW(matrix.add(0, -1), std::logic_error);
  MultiLabelCounts counts(2);
  EXPECT_THROW(counts.add({1, 0, 1}, {1, 0}), std::logic_error);
}

}  // namespace
}  // namespace polyphase
