// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/recipe/good_recipe.hpp"

namespace polyphase::recipe {
namespace {

struct Rates {
  double embedding, head, hidden, attention, layers;
  bool operator==(const Rates&) const = default;
};

// Of the phase topic, which has a dropout of its own, or of another.
Rates rates(const std::vector<std::string>& overrides, std::size_t phase_number = 2) {
  const Recipe recipe = parse(kGoodRecipe, "r.yaml", overrides);
  const Phase& phase = recipe.phases[phase_number];
  return {embedding_dropout_of(recipe, phase), head_dropout_of(recipe, phase),
          dropout_of(recipe, phase), attention_dropout_of(recipe, phase),
          layer_drop_of(recipe, phase)};
}

TEST(Regularisation, APlaceWithoutARateOfItsOwnHasThePhasesDropout) {
  EXPECT_EQ(rates({}), (Rates{0.2, 0.2, 0.2, 0.1, 0.0}));
  EXPECT_EQ(rates({}, 1), (Rates{0.1, 0.1, 0.1, 0.1, 0.0}));
  const std::vector<std::string> of_model = {"model.embedding_dropout=0.3",
                                             "model.head_dropout=0.4", "model.layer_drop=0.5"};
  EXPECT_EQ(rates(of_model, 1), (Rates{0.3, 0.4, 0.1, 0.1, 0.5}));
  EXPECT_EQ(rates(of_model), (Rates{0.2, 0.2, 0.2, 0.1, 0.5}));
  std::vector<std::string> of_phase = of_model;
  for (const char* value : {"embedding_dropout=0.6", "head_dropout=0.7", "layer_drop=0"})
    of_phase.push_back(std::string("phases.topic.") + value);
  EXPECT_EQ(rates(of_phase), (Rates{0.6, 0.7, 0.2, 0.1, 0.0}));
}

// So that a run of an earlier version, whose stored recipe lacks these keys, goes on.
TEST(Regularisation, WhatIsNotAskedForIsNotWritten) {
  const std::string text = resolved(parse(kGoodRecipe, "r.yaml"));
  for (const char* key : {"layer_drop", "l1", "r_drop", "average", "head_dropout", "keep: last"})
    EXPECT_EQ(text.find(key), std::string::npos) << key;
}

TEST(Regularisation, AllKeysLoadAgainAndChangeThePhasesHash) {
  const std::vector<std::string> values = {"embedding_dropout=0.25",
                                           "head_dropout=0.5",
                                           "layer_drop=0.125",
                                           "l1=1e-5",
                                           "l2=0.0001",
                                           "r_drop=1.5",
                                           "average={decay: 0.99}"};
  std::vector<std::string> overrides = {"phases.tags.stop.early.keep=best"};
  const std::string plain = phase_hash(parse(kGoodRecipe, "r.yaml"), 2);
  for (const std::string& value : values) {
    overrides.push_back("phases.topic." + value);
    EXPECT_NE(phase_hash(parse(kGoodRecipe, "r.yaml", {overrides.back()}), 2), plain) << value;
  }
  const Recipe recipe = parse(kGoodRecipe, "r.yaml", overrides);
  const std::string text = resolved(recipe);
  const Recipe again = parse(text, "resolved");
  EXPECT_EQ(resolved(again), text);
  const Regularisation& topic = again.phases[2].regularisation;
  EXPECT_EQ(topic.l1, 1e-5);
  EXPECT_EQ(topic.r_drop, 1.5);
  EXPECT_EQ(topic.average->decay, 0.99);
  EXPECT_TRUE(again.phases[1].stop.early->keeps_best);
  EXPECT_EQ(parse(kGoodRecipe, "r.yaml", {"phases.topic.average={}"})
                .phases[2]
                .regularisation.average->decay,
            0.999);
}

TEST(Regularisation, RDropNeedsASoftmax) {
  EXPECT_EQ(faults_of(kGoodRecipe, {"phases.tags.r_drop=1", "phases.pretrain.r_drop=1",
                                    "phases.topic.r_drop=1"}),
            "");
  EXPECT_EQ(faults_of(kGoodRecipe, {"phases.tags.r_drop=1", "phases.tags.task.head=crf"}),
            "--set phases.tags.r_drop: r_drop is for language models, generation, classification "
            "and softmax tagging, not for a crf head");
  EXPECT_EQ(faults_of(kGoodRecipe, {"phases.tags.r_drop=0", "phases.tags.task.head=crf"}), "");
}

TEST(Regularisation, RDropAndMixUpDoNotGoTogether) {
  const std::string faults =
      faults_of(kGoodRecipe, {"phases.topic.mixup=0.2", "phases.topic.r_drop=1"});
  EXPECT_EQ(
      faults,
      "--set phases.topic.r_drop: r_drop compares two passes of a sequence, which mixup mixes "
      "with others; leave out one of both");
}

TEST(Regularisation, HeadDropoutNeedsAHeadOfATask) {
  EXPECT_EQ(faults_of(kGoodRecipe, {"phases.pretrain.head_dropout=0.1"}),
            "--set phases.pretrain.head_dropout: head_dropout is for tasks with a head on pooled "
            "states or words, not for mlm + nsp");
}

TEST(Regularisation, ValuesOutOfRangeAreFaults) {
  for (const char* value : {"layer_drop=1", "l1=-1", "l2=x", "r_drop=-0.5", "average={decay: 1}",
                            "average={rate: 0.9}", "embedding_dropout=1.5", "average=0.9"}) {
    EXPECT_NE(faults_of(kGoodRecipe, {std::string("phases.topic.") + value}), "") << value;
  }
  EXPECT_NE(
      faults_of(kGoodRecipe, {"phases.tags.stop.early.keep=first"}).find("expected last or best"),
      std::string::npos);
}

}  // namespace
}  // namespace polyphase::recipe
