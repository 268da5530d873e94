// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "recipe/teacher_cuts.hpp"
#include "tests/recipe/good_recipe.hpp"

namespace polyphase::recipe {
namespace {

std::string faults_of_recipe(const Recipe& recipe, std::int64_t num_ranks) {
  try {
    check_layout(recipe, num_ranks);
  } catch (const RecipeError& error) {
    return error.what();
  }
  return "";
}

std::string layout_faults(const std::vector<std::string>& overrides, std::int64_t num_ranks) {
  return faults_of_recipe(parse(kGoodRecipe, "r.yaml", overrides), num_ranks);
}

TEST(RecipeLayout, FittingLayoutsPass) {
  EXPECT_EQ(layout_faults({}, 2), "");
  EXPECT_EQ(layout_faults({}, 4), "");
  EXPECT_EQ(layout_faults({"parallel.tensor=1"}, 4), "");
  EXPECT_EQ(layout_faults({"parallel.tensor=4"}, 4), "");
}

TEST(RecipeLayout, TensorDividesTheRanks) {
  EXPECT_EQ(layout_faults({}, 3),
            "r.yaml:10:20: parallel.tensor is 2, which does not divide 3 ranks; with that many it "
            "may be 1 or 3");
}

TEST(RecipeLayout, TensorDividesTheModel) {
  EXPECT_EQ(layout_faults({"parallel.tensor=8", "model.feed_forward=84"}, 8),
            "r.yaml:9:46: model.num_heads is 4, which parallel.tensor 8 does not divide; "
            "parallel.tensor 4 would fit\n"
            "--set model.feed_forward: model.feed_forward is 84, which parallel.tensor 8 does not "
            "divide; parallel.tensor 4 would fit");
}

TEST(RecipeLayout, TensorDividesKeyHeadsThatTheRecipeNames) {
  EXPECT_EQ(layout_faults({"parallel.tensor=4", "model.num_key_heads=2"}, 4),
            "--set model.num_key_heads: model.num_key_heads is 2, which parallel.tensor 4 does not "
            "divide; parallel.tensor 2 would fit");
}

TEST(RecipeLayout, SequencesDivideAmongTheDataParallelRanks) {
  EXPECT_EQ(layout_faults({"phases.pretrain.batch.micro_batch=32", "phases.tags.stop.steps=1",
                           "parallel.tensor=1", "phases.tags.batch.sequences=48",
                           "phases.topic.batch.sequences=48"},
                          3),
            "r.yaml:17:24: phases.pretrain.batch.sequences is 64, which 3 data-parallel ranks × "
            "micro-batch 32 do not divide; 96 sequences would fit, or 1 or 2 data-parallel ranks");
  EXPECT_NE(layout_faults({"parallel.tensor=1"}, 3)
                .find("phases.pretrain.batch.sequences is 64, which 3 data-parallel ranks × "
                      "micro-batch 16 do not divide; 48 or 96 sequences would fit, or 1, 2 or 4 "
                      "data-parallel ranks"),
            std::string::npos);
}

TEST(RecipeLayout, StagesDivideTheRanksAndEachHasALayer) {
  EXPECT_EQ(layout_faults({"parallel.pipeline=2"}, 4), "");
  EXPECT_EQ(layout_faults({"parallel.pipeline=2"}, 6),
            "--set parallel.pipeline: parallel.pipeline is 2, which does not divide the 3 ranks of "
            "each tensor-parallel rank; it may be 1 or 3");
  EXPECT_NE(layout_faults({"parallel.pipeline=4"}, 8)
                .find("parallel.pipeline is 4, but phase \"pretrain\" has 2 layers, and each stage "
                      "needs one; a pipeline of 2 would fit"),
            std::string::npos);
}

TEST(RecipeLayout, InterleavedStagesHaveALayerInEachChunkAndAMicroBatchForEachStage) {
  const std::vector<std::string> deep = {"model.num_layers=4", "parallel.tensor=1",
                                         "parallel.pipeline=2", "parallel.interleave=2"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), deep.begin(), deep.end());
    return more;
  };
  EXPECT_EQ(layout_faults(deep, 2), "");
  EXPECT_EQ(layout_faults({"parallel.interleave=2", "parallel.tensor=1"}, 1),
            "--set parallel.interleave: parallel.interleave is 2, but parallel.pipeline is 1: one "
            "stage has all layers; set parallel.interleave to 1, or have more stages");
  EXPECT_NE(
      layout_faults(with({"parallel.interleave=3"}), 2)
          .find("parallel.interleave is 3, but phase \"pretrain\" has 4 layers, and each of 2 "
                "stages needs 3; an interleave of 2 would fit"),
      std::string::npos);
  EXPECT_NE(layout_faults(with({"phases.pretrain.batch.micro_batch=64"}), 2)
                .find("parallel.interleave is 2, which takes a multiple of 2 micro-batches a rank, "
                      "one for each stage, but the steps of phase \"pretrain\" have 1; set "
                      "parallel.interleave to 1, or change batch.micro_batch or batch.sequences"),
            std::string::npos);
}

// An encoder and a decoder of 2 layers each.
Recipe recipe_of_a_pair(std::int64_t pipeline) {
  Recipe recipe = parse(kGoodRecipe, "r.yaml", {fmt::format("parallel.pipeline={}", pipeline)});
  recipe.model.family = Family::kT5;
  for (Phase& phase : recipe.phases) phase.task.reset();
  recipe.phases[2].adaptation.distil.emplace().teacher = "pretrain";
  return recipe;
}

TEST(RecipeLayout, TeachersAreCutWhereTheirStudentsAre) {
  Recipe recipe = recipe_of_a_pair(4);
  const Phase& student = recipe.phases[2];
  Distil& distil = *recipe.phases[2].adaptation.distil;
  Model teacher = recipe.model;
  teacher.num_layers = 3;
  teacher.num_decoder_layers = 5;
  using Cuts = std::vector<std::int64_t>;
  EXPECT_EQ(teacher_cuts(recipe, student, teacher), Cuts());
  distil.attention = 1;
  EXPECT_EQ(teacher_cuts(recipe, student, teacher), (Cuts{0, 1, 3, 5, 8}));
  distil.attention = 0;
  distil.hidden = 1;
  distil.layers = MatchedLayers::kAll;
  EXPECT_EQ(teacher_cuts(recipe, student, teacher), (Cuts{0, 1, 3, 5, 8}));
  distil.layers = MatchedLayers::kLast;  // the decoder's output alone
  EXPECT_EQ(teacher_cuts(recipe, student, teacher), Cuts());
  distil.attention = 1;
  recipe.parallel.pipeline = 1;
  EXPECT_EQ(teacher_cuts(recipe, student, teacher), Cuts());
}

TEST(RecipeLayout, EachChunkHasALayerOfATeacherWhoseAttentionIsLearntFrom) {
  Recipe recipe = recipe_of_a_pair(4);
  recipe.phases[0].adaptation.num_layers = 1;
  recipe.phases[0].adaptation.num_decoder_layers = 5;
  EXPECT_EQ(faults_of_recipe(recipe, 8), "");
  recipe.phases[2].adaptation.distil->attention = 1;
  EXPECT_EQ(
      faults_of_recipe(recipe, 8),
      "r.yaml:28:5: phases.topic.distil.attention needs each layer and the one that it learns "
      "from on one stage, but \"pretrain\" has num_layers 1 and num_decoder_layers 5, which, "
      "cut into 4 chunks (parallel.pipeline × parallel.interleave) where the 2 and 2 here are, "
      "leave one without any; take a deeper teacher or fewer chunks, or take attention out");
  recipe.parallel.pipeline = 2;
  EXPECT_EQ(faults_of_recipe(recipe, 4), "");
  recipe.phases[0].adaptation = {};
  recipe.phases[2].adaptation.distil->layers = MatchedLayers::kAll;
  recipe.parallel.pipeline = 4;
  EXPECT_EQ(faults_of_recipe(recipe, 8), "");
}

}  // namespace
}  // namespace polyphase::recipe
