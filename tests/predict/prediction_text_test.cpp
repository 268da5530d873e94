// SPDX-License-Identifier: Apache-2.0
#include "predict/prediction_text.hpp"

#include <gtest/gtest.h>

namespace polyphase {
namespace {

using recipe::TaskKind;

std::string text_of(TaskKind task, const InputSample& sample, const SamplePrediction& prediction) {
  return PredictionWriter(task, {"x", "y", "z"}, PredictionFormat::kText)(sample, prediction);
}

nlohmann::json json_of(TaskKind task, const InputSample& sample,
                       const SamplePrediction& prediction) {
  const PredictionWriter writer(task, {"x", "y", "z"}, PredictionFormat::kJsonLines);
  return nlohmann::json::parse(writer(sample, prediction));
}

TEST(PredictionText, TheFirstOfTheBestClassesIsGiven) {
  const SamplePrediction p = {.empty = false,
                              .prediction = {.probabilities_K = {0.25, 0.375, 0.375}}};
  EXPECT_EQ(text_of(TaskKind::kClassification, {}, p), "y\t0.375000\n");
  const nlohmann::json object = json_of(TaskKind::kClassification, {}, p);
  EXPECT_EQ(object["label"], "y");
  EXPECT_EQ(object["probability"], 0.375);
  EXPECT_EQ(object["probabilities"]["x"], 0.25);
}

TEST(PredictionText, LabelsAreThoseOfAtLeastOneHalf) {
  SamplePrediction p = {.empty = false, .prediction = {.probabilities_K = {0.5, 0.49, 0.75}}};
  EXPECT_EQ(text_of(TaskKind::kMultiLabel, {}, p), "x\t0.500000\tz\t0.750000\n");
  EXPECT_EQ(json_of(TaskKind::kMultiLabel, {}, p)["labels"], (nlohmann::json{"x", "z"}));
  p.prediction.probabilities_K = {0.1, 0.2, 0.3};
  EXPECT_EQ(text_of(TaskKind::kMultiLabel, {}, p), "\n");
  EXPECT_TRUE(json_of(TaskKind::kMultiLabel, {}, p)["labels"].empty());
}

TEST(PredictionText, TagsMakeCoNll) {
  const SamplePrediction p = {.empty = false, .prediction = {.tags_T = {2, 0}}};
  EXPECT_EQ(text_of(TaskKind::kTagging, {.texts = {"the", "cat"}}, p), "the\tz\ncat\tx\n\n");
  EXPECT_EQ(json_of(TaskKind::kTagging, {.texts = {"the", "cat"}}, p)["tags"],
            (nlohmann::json{"z", "x"}));
}

TEST(PredictionText, AnswersStayOnOneLine) {
  const SamplePrediction p = {.empty = false,
                              .prediction = {.answer = {.score = 1.5, .score_of_none = -2}},
                              .span = "one\ttwo\nthree"};
  EXPECT_EQ(text_of(TaskKind::kQuestionAnswering, {}, p), "one two three\t1.5000\t-2.0000\n");
  const nlohmann::json object = json_of(TaskKind::kQuestionAnswering, {.id = "7"}, p);
  EXPECT_EQ(object["answer"], "one\ttwo\nthree");
  EXPECT_EQ(object["id"], "7");
}

TEST(PredictionText, NoAnswerIsGivenAboveTheThreshold) {
  const SamplePrediction p = {
      .empty = false, .prediction = {.answer = {.score = 1, .score_of_none = 1.5}}, .span = "here"};
  const auto line = [&](double threshold) {
    return PredictionWriter(TaskKind::kQuestionAnswering, {}, PredictionFormat::kText, threshold)(
        {}, p);
  };
  EXPECT_EQ(line(0), "\t1.0000\t1.5000\n");
  EXPECT_EQ(line(0.49), "\t1.0000\t1.5000\n");
  EXPECT_EQ(line(0.5), "here\t1.0000\t1.5000\n");  // as much, but no more
  EXPECT_EQ(SamplePrediction().answer(1e30), "");
}

TEST(PredictionText, EmptyLinesSayNothing) {
  for (const TaskKind task : {TaskKind::kClassification, TaskKind::kRegression,
                              TaskKind::kMultiLabel, TaskKind::kQuestionAnswering}) {
    EXPECT_EQ(text_of(task, {}, {}), "\n");
    EXPECT_TRUE(json_of(task, {}, {}).is_null());
  }
  EXPECT_EQ(text_of(TaskKind::kTagging, {}, {}), "");
  EXPECT_TRUE(json_of(TaskKind::kTagging, {}, {}).is_null());
}

}  // namespace
}  // namespace polyphase
