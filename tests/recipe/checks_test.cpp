// SPDX-License-Identifier: Apache-2.0
// Faults that show only when several keys are seen together.
#include <gtest/gtest.h>

#include "tests/recipe/good_recipe.hpp"

namespace polyphase::recipe {
namespace {

TEST(RecipeChecks, FromMustNameAnEarlierPhase) {
  EXPECT_EQ(
      faults_of(good_recipe_with("from: pretrain", "from: topic")),
      "r.yaml:23:11: phases.tags.from names \"topic\", which is not an earlier phase; move it "
      "before \"tags\"");
  EXPECT_EQ(faults_of(good_recipe_with("from: pretrain", "from: pretrian")),
            "r.yaml:23:11: phases.tags.from names no phase \"pretrian\"; did you mean "
            "\"pretrain\"?");
  EXPECT_EQ(faults_of(good_recipe_with("from: pretrain", "from: tags")),
            "r.yaml:23:11: phases.tags.from names \"tags\", which is not an earlier phase; move it "
            "before \"tags\"");
}

TEST(RecipeChecks, PhaseNamesAreUnique) {
  EXPECT_EQ(faults_of(good_recipe_with("- name: topic", "- name: tags")),
            "r.yaml:28:11: a phase called \"tags\" stands at r.yaml:22:5 already");
}

TEST(RecipeChecks, DataMustNameACorpusOfTheRightKind) {
  EXPECT_EQ(faults_of(good_recipe_with("{tags: 1.0}", "{tgas: 1.0}")),
            "r.yaml:25:12: phases.tags.data names no corpus \"tgas\"; did you mean \"tags\"?");
  EXPECT_EQ(faults_of(good_recipe_with("{tags: 1.0}", "{text: 1.0}")),
            "r.yaml:25:12: the corpus \"text\" is of kind text; the task tagging needs one of kind "
            "tagging");
  EXPECT_EQ(faults_of(good_recipe_with("data: {text: 1.0}", "data: {topics: 1.0}")),
            "r.yaml:16:12: the corpus \"topics\" is of kind classification; pretraining needs one "
            "of kind text");
}

TEST(RecipeChecks, APhaseTrainsOnSomething) {
  EXPECT_EQ(faults_of(good_recipe_with("{tags: 1.0}", "{}")),
            "r.yaml:25:11: phases.tags.data names no corpus; expected at least one, with a weight");
}

TEST(RecipeChecks, ExactlyOneOfObjectivesAndTask) {
  EXPECT_EQ(faults_of(good_recipe_with("    task: {kind: tagging}\n", "")),
            "r.yaml:22:5: phases.tags has neither objectives nor task; expected exactly one of "
            "objectives and task");
  EXPECT_EQ(faults_of(good_recipe_with("task: {kind: tagging}",
                                       "task: {kind: tagging}\n    objectives: {mlm: 1}")),
            "r.yaml:24:11: phases.tags has both objectives and task; expected exactly one of "
            "objectives and task");
}

TEST(RecipeChecks, NgramsAreForWholeSequences) {
  EXPECT_EQ(faults_of(kGoodRecipe, {"phases.topic.task.ngrams={order: 3, buckets: 100}"}), "");
  EXPECT_EQ(faults_of(kGoodRecipe, {"phases.tags.task.ngrams={order: 2}"}),
            "--set phases.tags.task.ngrams: ngrams are for classification, regression and "
            "multi_label, not for tagging");
  EXPECT_EQ(faults_of(kGoodRecipe, {"phases.topic.task.ngrams={buckets: 4294967296}"}),
            "--set phases.topic.task.ngrams: phases.topic.task.ngrams.buckets is 4294967296; there "
            "can be 2147483647 at most");
  EXPECT_EQ(faults_of(kGoodRecipe, {"phases.topic.task.ngrams={order: 17}"}),
            "--set phases.topic.task.ngrams: phases.topic.task.ngrams.order is 17; it can be 16 at "
            "most");
  EXPECT_EQ(
      faults_of(kGoodRecipe, {"phases.topic.task.ngrams={order: 2}", "phases.topic.mixup=0.2"}),
      "--set phases.topic.task.ngrams: mixup mixes states of sequences, which have no "
      "n-grams; leave out one of both");
}

TEST(RecipeChecks, UnknownObjectiveIsToldTheObjectives) {
  EXPECT_EQ(faults_of(good_recipe_with("nsp: 0.5", "nspp: 0.5")),
            "r.yaml:15:28: unknown objective \"nspp\" in phases.pretrain.objectives; did you mean "
            "\"nsp\"?");
  EXPECT_EQ(faults_of(good_recipe_with("{mlm: 1.0, nsp: 0.5}", "{}")),
            "r.yaml:15:17: phases.pretrain.objectives is empty; expected mlm, nsp, sop, clm, "
            "prefix_lm or span, with a weight");
}

TEST(RecipeChecks, AnyObjectivesOfAFamilyStandBesideEachOther) {
  const auto faults = [](const std::string& family, const std::string& objectives) {
    return faults_of(kGoodRecipe,
                     {"model.family=" + family, "phases.pretrain.objectives=" + objectives});
  };
  EXPECT_EQ(faults("bert", "{mlm: 1, nsp: 1, sop: 0.5}"), "");
  EXPECT_EQ(faults("bert", "{nsp: 1, sop: 0.5}"), "");
  EXPECT_EQ(faults("gpt", "{clm: 1, prefix_lm: 0.5}"), "");
  EXPECT_EQ(faults("t5", "{span: 1, prefix_lm: 0.5}"), "");
  EXPECT_EQ(faults("gpt", "{clm: 1, span: 0.5}"),
            "--set phases.pretrain.objectives: span (span corruption) needs a model of family t5; "
            "this one is gpt, which can train for clm or prefix_lm");
  EXPECT_EQ(faults("t5", "{clm: 1}"),
            "--set phases.pretrain.objectives: clm (causal language model) needs a model of family "
            "gpt; this one is t5, which can train for prefix_lm or span");
}

TEST(RecipeChecks, RelativePositionsReachBehindTheirSingleBuckets) {
  const std::vector<std::string> relative = {"model.positions=relative",
                                             "model.relative_buckets=32"};
  const auto faults = [&](const std::string& distance) {
    std::vector<std::string> overrides = relative;
    overrides.push_back("model.relative_max_distance=" + distance);
    return faults_of(kGoodRecipe, overrides);
  };
  EXPECT_EQ(faults("9"), "");  // keys lie on both sides: a quarter of the buckets is exact
  EXPECT_EQ(faults("8"),
            "--set model.relative_max_distance: model.relative_max_distance is 8, but 32 buckets "
            "tell the first 8 distances apart one by one; it must be larger");
}

TEST(RecipeChecks, MatchesNeedSegmentsOfAnEncoder) {
  EXPECT_EQ(faults_of(kGoodRecipe, {"model.matches=true"}), "");
  EXPECT_EQ(faults_of(kGoodRecipe, {"model.matches=true", "model.segments=false"}),
            "--set model.matches: matches are told by the segments of an encoder's pairs of texts: "
            "they need family bert and segments: true");
  EXPECT_NE(
      faults_of(kGoodRecipe, {"model.matches=true", "model.segments=true", "model.family=gpt"})
          .find("--set model.matches: "),
      std::string::npos);
}

TEST(RecipeChecks, ExactlyOneOfStepsAndEpochs) {
  EXPECT_EQ(faults_of(good_recipe_with("{steps: 100}", "{steps: 100, epochs: 2}")),
            "r.yaml:21:11: phases.pretrain.stop has both steps and epochs; expected exactly one of "
            "steps and epochs");
  EXPECT_EQ(faults_of(good_recipe_with("{steps: 100}", "{}")),
            "r.yaml:21:11: phases.pretrain.stop has neither steps nor epochs; expected exactly one "
            "of steps and epochs");
}

TEST(RecipeChecks, EarlyMetricMustBeOneOfThePhase) {
  EXPECT_EQ(
      faults_of(good_recipe_with("valid.f1", "valid.F2")),
      "r.yaml:27:39: phases.tags.stop.early.metric names no metric \"valid.F2\"; did you mean "
      "\"valid.f1\"?");
  EXPECT_EQ(faults_of(good_recipe_with("{steps: 100}", "{steps: 100, early: {metric: valid.f1}}")),
            "r.yaml:21:40: phases.pretrain.stop.early.metric names no metric \"valid.f1\"; this "
            "phase's metrics are valid.loss, valid.mlm_loss, valid.mlm_accuracy, "
            "valid.mlm_perplexity, valid.nsp_loss, valid.nsp_accuracy");
  EXPECT_EQ(
      faults_of(good_recipe_with("{steps: 100}", "{steps: 100, early: {metric: valid.mlm_loss}}")),
      "");
  EXPECT_EQ(faults_of(good_recipe_with("valid.f1", "valid.recall")), "");
}

TEST(RecipeChecks, MetricsOfASingleObjectiveHaveNoPrefix) {
  const std::string mlm_alone = good_recipe_with(", nsp: 0.5", "");
  EXPECT_EQ(faults_of(mlm_alone, {"phases.pretrain.stop.early.metric=valid.accuracy"}), "");
  EXPECT_EQ(faults_of(mlm_alone, {"phases.pretrain.stop.early.metric=valid.mlm_loss"}),
            "--set phases.pretrain.stop.early.metric: phases.pretrain.stop.early.metric names no "
            "metric \"valid.mlm_loss\"; did you mean \"valid.loss\"?");
}

TEST(RecipeChecks, EarlyStoppingNeedsAValidationPart) {
  EXPECT_EQ(faults_of(good_recipe_with(", valid: v.conll", "")),
            "r.yaml:27:30: phases.tags.stop.early needs a validation part, and the corpus \"tags\" "
            "has none; give it valid files");
}

TEST(RecipeChecks, PhaseIsNoLongerThanTheModel) {
  EXPECT_EQ(faults_of(good_recipe_with("max_tokens: 48", "max_tokens: 65")),
            "r.yaml:26:17: phases.tags.max_tokens is 65; the model has positions for 64 tokens");
}

TEST(RecipeChecks, MicroBatchDividesSequences) {
  EXPECT_EQ(faults_of(good_recipe_with("{sequences: 64}", "{sequences: 64, micro_batch: 12}")),
            "r.yaml:17:41: phases.pretrain.batch.sequences is 64, which a micro_batch of 12 does "
            "not divide; 60 or 72 sequences fit");
}

TEST(RecipeChecks, RampLeadsToTheWholeBatchInMicroBatches) {
  EXPECT_EQ(faults_of(good_recipe_with("{sequences: 64}",
                                       "{sequences: 64, ramp: {from: 12, every_steps: 5}}")),
            "r.yaml:17:41: phases.pretrain.batch.ramp.from is 12, and doubling it leads past "
            "phases.pretrain.batch.sequences (64) to 96; 96 sequences, or a start of 16 would fit");
  EXPECT_EQ(
      faults_of(good_recipe_with("{sequences: 64}",
                                 "{sequences: 64, micro_batch: 16, ramp: {from: 8, every_steps: "
                                 "5}}")),
      "r.yaml:17:41: phases.pretrain.batch.ramp.from is 8, which a micro_batch of 16 does not "
      "divide; 16 sequences fit");
}

TEST(RecipeChecks, TokenizerNamesCorpora) {
  EXPECT_EQ(faults_of(good_recipe_with("corpora: [text]", "corpora: [txt]")),
            "r.yaml:4:51: tokenizer.corpora names no corpus \"txt\"; did you mean \"text\"?");
}

TEST(RecipeChecks, CorpusNeedsTheFilesOfItsKind) {
  EXPECT_EQ(faults_of(good_recipe_with(", files: [a.txt, b.txt]", "")),
            "r.yaml:6:9: corpora.text lacks the key \"files\": the files to train on");
  EXPECT_EQ(faults_of(good_recipe_with("train: t.conll", "files: t.conll")),
            "r.yaml:7:32: files is for text; tagging has train, valid and test");
  EXPECT_EQ(faults_of(good_recipe_with("files: [a.txt, b.txt]", "files: a, train: b")),
            "r.yaml:6:39: files and train mean the same for text; remove one");
}

TEST(RecipeChecks, AtLeastOnePhase) {
  const std::string text = kGoodRecipe;
  const std::string head = text.substr(0, text.find("phases:"));
  EXPECT_EQ(faults_of(head + "phases: []\n"), "r.yaml:13:9: expected at least one phase");
  EXPECT_EQ(faults_of(head),
            "r.yaml:1:1: the recipe lacks the key \"phases\": what to train, one "
            "phase after the other");
}

TEST(RecipeChecks, TextWrittenAsTrainIsInFiles) {
  const Recipe recipe = parse(good_recipe_with("files: [a.txt, b.txt]", "train: a.txt"), "r.yaml");
  EXPECT_EQ(recipe.corpora[0].files, std::vector<std::string>{"a.txt"});
  EXPECT_TRUE(recipe.corpora[0].train.empty());
}

}  // namespace
}  // namespace polyphase::recipe
