// SPDX-License-Identifier: Apache-2.0
// Phases that start from, or learn from, phases of another run.
#include "recipe/other_run.hpp"

#include <gtest/gtest.h>

#include "recipe/variants.hpp"
#include "tests/recipe/good_recipe.hpp"

namespace polyphase::recipe {
namespace {

const std::string kFrom = "    from: pretrain\n";

// The good recipe whose second phase starts from another run.
std::string text_with_parent(const std::string& other = "{run: ../base, phase: pretrain}") {
  return good_recipe_with(kFrom, "    from: " + other + "\n");
}

std::string student_text(const std::string& distil) {
  return std::string(kGoodRecipe) +
         "  - name: student\n    task: {kind: classification}\n    data: {topics: 1.0}\n"
         "    stop: {epochs: 1}\n    distil: " +
         distil + "\n";
}

// What keeps the recipe's use of the other run from being possible.
std::string misfit(const std::string& ours, const std::string& theirs, const std::string& phase) {
  const Recipe recipe = parse(ours, "r.yaml"), other = parse(theirs, "other.yaml");
  Faults faults;
  for (const OtherRunUse& use : uses_of_other_runs(recipe))
    check_other_run(recipe, use, other, *find_phase(other, phase), faults);
  try {
    faults.throw_if_any();
  } catch (const RecipeError& error) {
    return error.what();
  }
  return "";
}

std::string replaced(std::string text, const std::string& before, const std::string& now) {
  const std::size_t at = text.find(before);
  POLYPHASE_PROMISE(at != std::string::npos, "the text has no {}", before);
  return text.replace(at, before.size(), now);
}

TEST(OtherRun, AParentIsAPhaseOrARunWithAPhase) {
  const Recipe recipe = parse(text_with_parent(), "r.yaml");
  const Phase& tags = recipe.phases[1];
  EXPECT_EQ(tags.from, "");
  ASSERT_TRUE(tags.from_run.has_value());
  EXPECT_EQ(tags.from_run->run, "../base");
  EXPECT_EQ(tags.from_run->phase, "pretrain");
  EXPECT_FALSE(tags.starts_anew());
  EXPECT_EQ(recipe.phases[2].from, "tags");
  EXPECT_FALSE(recipe.phases[2].from_run.has_value());
  EXPECT_EQ(other_run_name(*tags.from_run), "base/pretrain");
  EXPECT_EQ(other_run_name({.run = "/runs/big/", .phase = ""}), "big");
  EXPECT_TRUE(needed_phases(tags).empty());
}

TEST(OtherRun, TheResolvedRecipeIsTheSameRecipe) {
  for (const std::string& text :
       {text_with_parent(), text_with_parent("{run: ../base}"),
        student_text("{teacher: {run: ../big, phase: topic}, hidden: 1}")}) {
    const Recipe recipe = parse(text, "r.yaml");
    EXPECT_EQ(resolved(parse(resolved(recipe), "again.yaml")), resolved(recipe));
  }
  EXPECT_NE(recipe_hash(parse(text_with_parent(), "r.yaml")),
            recipe_hash(parse(text_with_parent("{run: ../other, phase: pretrain}"), "r.yaml")));
}

TEST(OtherRun, WrongKeysAreTold) {
  EXPECT_EQ(faults_of(text_with_parent("{phase: pretrain}")),
            "r.yaml:23:11: phases.tags.from lacks the key \"run\": the folder of the other run, "
            "from the recipe's folder");
  EXPECT_EQ(faults_of(text_with_parent("{run: ../base, phas: pretrain}")),
            "r.yaml:23:26: unknown key \"phas\" in phases.tags.from; did you mean \"phase\"?");
  EXPECT_EQ(faults_of(text_with_parent("[pretrain]")),
            "r.yaml:23:11: phases.tags.from is a list; expected a text");
}

TEST(OtherRun, AnOverrideMayNameOrReplaceIt) {
  EXPECT_EQ(parse(text_with_parent(), "r.yaml", {"phases.tags.from=pretrain"}).phases[1].from,
            "pretrain");
  const Recipe other =
      parse(kGoodRecipe, "r.yaml", {"phases.tags.from={run: ../base, phase: pretrain}"});
  EXPECT_EQ(other.phases[1].from, "");
  EXPECT_EQ(other.phases[1].from_run->run, "../base");
  EXPECT_EQ(
      parse(text_with_parent(), "r.yaml", {"phases.tags.from.run=../else"}).phases[1].from_run->run,
      "../else");
}

TEST(OtherRun, StateMayBeKeptAndLayersGrowFromIt) {
  EXPECT_EQ(faults_of(text_with_parent() + "    optimizer: {state: keep}\n"), "");
  EXPECT_EQ(faults_of(text_with_parent("{run: ../base}\n    growth: stack\n    num_layers: 4")),
            "r.yaml:31:11: phases.topic has 2 layers and \"tags\", which it starts from, 4; say "
            "with phases.topic.growth that it takes evenly spaced ones: skip");
}

TEST(OtherRun, ItsTokenizerIsTakenWhereTheRecipeHasNone) {
  const std::string section = "tokenizer: {kind: bpe, vocab_size: 512, corpora: [text]}\n";
  const std::string without = replaced(text_with_parent(), section, "");
  EXPECT_EQ(parse(without, "r.yaml").tokenizer.model, "../base/data/tokenizer.model");
  EXPECT_EQ(parse(text_with_parent(), "r.yaml").tokenizer.model, "");
  EXPECT_EQ(parse(replaced(kGoodRecipe, section, ""), "r.yaml").tokenizer.model, "");
}

TEST(OtherRun, PhasesBehindAShutGateStartWhereItsPhaseWould) {
  const std::string gated = text_with_parent("{run: ../base}\n    gate: {margin: 0.1}") +
                            "iterate: {target: {phase: topic, metric: valid.accuracy, at_least: "
                            "0.9}, strategies: []}\n";
  const Recipe shut = variant_of(parse(gated, "r.yaml"), {});
  EXPECT_EQ(shut.phases[2].from, "");
  EXPECT_EQ(shut.phases[2].from_run->run, "../base");
}

TEST(OtherRun, AModelOfAnotherMeaningOrSizeIsRefused) {
  const std::string ours = text_with_parent();
  EXPECT_EQ(misfit(ours, kGoodRecipe, "pretrain"), "");
  EXPECT_EQ(
      misfit(ours,
             good_recipe_with("width: 32, num_heads: 4, max_tokens: 64",
                              "width: 64, num_heads: 4, max_tokens: 56, norm: pre"),
             "pretrain"),
      "r.yaml:23:11: phases.tags.from: base/pretrain has another model than this recipe: "
      "width 64 there, 32 here, max_tokens 56 there, 64 here, norm pre there, post here; write "
      "the same under model (learnt as a teacher, under distil, it may have another)");
  EXPECT_NE(
      misfit(ours, good_recipe_with("num_heads: 4", "num_heads: 4, feed_forward: 100"), "pretrain")
          .find("feed_forward 100 there, 128 here"),
      std::string::npos);
}

TEST(OtherRun, WhatLeavesParametersAloneMayDiffer) {
  const std::string other =
      "positions: rotary, max_tokens: 16, dropout: 0.3, init_std: 0.1, "
      "feed_forward: 128, head_width: 8, num_key_heads: 4";
  const std::string theirs = good_recipe_with("max_tokens: 64", other);
  const std::string ours =
      replaced(text_with_parent(), "max_tokens: 64", "positions: rotary, max_tokens: 64");
  EXPECT_EQ(misfit(ours, replaced(theirs, "    max_tokens: 48\n", ""), "pretrain"), "");
}

TEST(OtherRun, AnotherDepthNeedsARule) {
  const std::string deep = good_recipe_with("num_layers: 2", "num_layers: 4");
  EXPECT_EQ(misfit(text_with_parent(), deep, "pretrain"),
            "r.yaml:23:11: phases.tags has 2 layers and \"base/pretrain\", which it starts from, "
            "4; say with phases.tags.growth that it takes evenly spaced ones: skip");
  EXPECT_EQ(misfit(text_with_parent("{run: ../base}\n    growth: skip"), deep, "pretrain"), "");
}

TEST(OtherRun, ATeacherMayHaveAnotherDepthAndWidth) {
  const std::string ours = student_text("{teacher: {run: ../big, phase: topic}}");
  const std::string big = good_recipe_with("num_layers: 2, width: 32", "num_layers: 5, width: 64");
  EXPECT_EQ(misfit(ours, big, "topic"), "");
  EXPECT_EQ(misfit(ours, big, "tags"),
            "r.yaml:39:23: phases.student.distil.teacher is \"big/topic\", which was trained for "
            "tagging, not for classification");
  EXPECT_EQ(misfit(student_text("{hidden: 1, teacher: {run: ../big, phase: topic}}"), big, "topic"),
            "r.yaml:39:34: phases.student.distil.teacher: big/topic is 64 wide, this model 32; "
            "distil.hidden compares states of the same width: take it out");
  EXPECT_EQ(
      misfit(student_text("{attention: 1, teacher: {run: ../big, phase: topic}}"), big, "topic"),
      "");
  EXPECT_EQ(misfit(student_text("{attention: 1, teacher: {run: ../big, phase: topic}}"),
                   replaced(big, "num_heads: 4", "num_heads: 8"), "topic"),
            "r.yaml:39:37: phases.student.distil.teacher: big/topic has 8 attention heads, this "
            "model 4; distil.attention compares head with head: take it out");
  EXPECT_EQ(
      misfit(student_text("{attention: 1, layers: all, teacher: {run: ../big, phase: topic}}"),
             replaced(big, "num_layers: 5", "num_layers: 1"), "topic"),
      "r.yaml:39:36: phases.student.distil.layers is all, but \"big/topic\" has 1 layers, "
      "fewer than the 2 here, which each learn from one of their own; write layers: last, or "
      "take a deeper teacher");
  EXPECT_EQ(misfit(ours,
                   replaced(replaced(big, "max_tokens: 64", "max_tokens: 40"),
                            "    max_tokens: 48\n", ""),
                   "topic"),
            "r.yaml:39:23: phases.student.distil.teacher: big/topic has positions for 40 tokens, "
            "and this phase has up to 64; give it max_tokens: 40");
}

TEST(OtherRun, ATeacherReadsBatchesMadeInTheSameWay) {
  const std::string ours = student_text("{teacher: {run: ../big, phase: topic}}");
  const std::string marked = good_recipe_with("max_tokens: 64", "max_tokens: 64, matches: true");
  EXPECT_EQ(
      misfit(ours, marked, "topic"),
      "r.yaml:39:23: phases.student.distil.teacher: big/topic was trained with model.matches: "
      "true, and this recipe has false; a teacher reads the same batches: write the same");
  EXPECT_EQ(
      misfit(replaced(ours, "max_tokens: 64", "max_tokens: 64, matches: true"), marked, "topic"),
      "");
}

TEST(OtherRun, ATeacherGoesWithNeitherMixUpNorRDrop) {
  const std::string text = student_text("{teacher: {run: ../big}}") + "    r_drop: 1\n";
  EXPECT_EQ(faults_of(text),
            "r.yaml:40:13: phases.student.r_drop has every text twice in a pass, a teacher once; "
            "take either");
}

}  // namespace
}  // namespace polyphase::recipe
