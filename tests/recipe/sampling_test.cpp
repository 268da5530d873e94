// SPDX-License-Identifier: Apache-2.0
#include "recipe/sampling.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/recipe/good_recipe.hpp"

namespace polyphase::recipe {
namespace {

// The good recipe with two corpora of texts with classes.
std::string mixed(const std::string& of_topic = "") {
  const std::string more = "  more: {kind: classification, train: m.tsv}\nmodel: {num_layers";
  std::string text = good_recipe_with("model: {num_layers", more);
  const std::string from = "data: {topics: 1.0}", to = "data: {topics: 3.0, more: 1.0}" + of_topic;
  return text.replace(text.find(from), from.size(), to);
}

TEST(Sampling, AllKeysAreReadAndWritten) {
  const Recipe recipe =
      parse(mixed("\n    data_temperature: 2\n    filter: {min_tokens: 3, max_tokens: 40}\n"
                  "    curriculum: {by: length, start: 0.2, steps: 1000}\n"
                  "    augment: {mask: 0.1, delete: 0.05, swap: 0.06, span: 0.07, "
                  "synonyms: {file: s.tsv, fraction: 0.2}}"),
            "r.yaml");
  for (const Recipe& each : {recipe, parse(resolved(recipe), "resolved")}) {
    const Phase& phase = each.phases[2];
    EXPECT_EQ(phase.data, (std::map<std::string, double>{{"topics", 3.0}, {"more", 1.0}}));
    EXPECT_EQ(phase.sampling.temperature, 2.0);
    EXPECT_EQ(phase.sampling.filter->min_tokens, 3);
    EXPECT_EQ(phase.sampling.filter->max_tokens, 40);
    EXPECT_EQ(phase.sampling.curriculum->start, 0.2);
    EXPECT_EQ(phase.sampling.curriculum->steps, 1000);
    const Augmentation& augmentation = *phase.sampling.augmentation;
    EXPECT_EQ(augmentation.mask, 0.1);
    EXPECT_EQ(augmentation.remove, 0.05);
    EXPECT_EQ(augmentation.swap, 0.06);
    EXPECT_EQ(augmentation.span, 0.07);
    EXPECT_EQ(augmentation.synonyms->file, "s.tsv");
    EXPECT_EQ(augmentation.synonyms->fraction, 0.2);
  }
}

TEST(Sampling, KeysThatAreNotUsedLeaveTheResolvedRecipeAsItWas) {
  const std::string text = resolved(parse(kGoodRecipe, "r.yaml"));
  for (const char* key : {"data_temperature", "filter", "curriculum", "augment", "mixup"})
    EXPECT_EQ(text.find(key), std::string::npos) << key;
}

TEST(Sampling, ACorpusOfAMixtureMustBeKnownAndOfTheKindOfTheTask) {
  EXPECT_EQ(faults_of(mixed(), {"phases.topic.data={topics: 1, mroe: 1}"}),
            "--set phases.topic.data: phases.topic.data names no corpus \"mroe\"; did you mean "
            "\"more\"?");
  EXPECT_EQ(faults_of(mixed(), {"phases.topic.data={topics: 1, tags: 1}"}),
            "--set phases.topic.data: the corpus \"tags\" is of kind tagging; the task "
            "classification needs one of kind classification");
  EXPECT_EQ(
      faults_of(mixed(), {"phases.topic.data={topics: 1, more: 0}"}),
      "--set phases.topic.data: phases.topic.data.more is \"0\"; expected a weight greater than "
      "0");
}

TEST(Sampling, ATemperatureNeedsSeveralCorpora) {
  EXPECT_EQ(faults_of(kGoodRecipe, {"phases.topic.data_temperature=2"}),
            "--set phases.topic.data_temperature: phases.topic.data_temperature weighs corpora "
            "against each other, and phases.topic.data names one; remove the key or name more "
            "corpora");
}

TEST(Sampling, FractionsLieInTheirRanges) {
  const auto fault = [](const std::string& setting) {
    return faults_of(kGoodRecipe, {"phases.topic." + setting});
  };
  EXPECT_EQ(
      fault("augment.mask=1"),
      "--set phases.topic.augment.mask: phases.topic.augment.mask is \"1\"; expected a number "
      "from 0 to below 1");
  for (const char* setting :
       {"augment.delete=-0.1", "augment.swap=2", "augment.span=many", "augment.synonyms.fraction=0",
        "curriculum={start: 0, steps: 3}", "curriculum={steps: 0}",
        "curriculum={by: words, steps: 3}", "filter.min_tokens=0", "mixup=0"}) {
    EXPECT_NE(fault(setting).find("; expected "), std::string::npos) << setting;
  }
  EXPECT_EQ(fault("curriculum={by: length}"),
            "--set phases.topic.curriculum: phases.topic.curriculum lacks the key \"steps\": after "
            "so many steps all samples take part");
  EXPECT_EQ(fault("filter={min_tokens: 9, max_tokens: 8}"),
            "--set phases.topic.filter: phases.topic.filter.max_tokens is 8, below min_tokens of "
            "9: nothing is left");
}

TEST(Sampling, WhatDoesNotFitThePhaseIsRefused) {
  EXPECT_EQ(faults_of(kGoodRecipe, {"phases.tags.augment={mask: 0.1, swap: 0.1}"}),
            "--set phases.tags.augment: phases.tags.augment.swap would tear tags apart that go "
            "over several words (B-, I-); tagging has mask and synonyms");
  EXPECT_EQ(faults_of(kGoodRecipe, {"phases.pretrain.augment={mask: 0.1}"}),
            "--set phases.pretrain.augment: phases.pretrain.augment is for tasks; mlm + nsp makes "
            "its own changes to running text");
  EXPECT_EQ(faults_of(kGoodRecipe, {"phases.tags.mixup=0.2"}),
            "--set phases.tags.mixup: phases.tags.mixup mixes the classes of sequences; it is for "
            "classification, not for tagging");
  const std::vector<std::string> gpt = {"model.family=gpt", "phases.pretrain.objectives={clm: 1}"};
  for (const std::string key : {"filter={min_tokens: 3}", "curriculum={steps: 9}"}) {
    std::vector<std::string> overrides = gpt;
    overrides.push_back("phases.pretrain." + key);
    EXPECT_NE(
        faults_of(kGoodRecipe, overrides).find("the samples of clm are windows of one length"),
        std::string::npos);
    overrides[0] = "model.family=t5";  // whose samples are texts
    overrides[1] = "phases.pretrain.objectives={span: 1, prefix_lm: 1}";
    EXPECT_EQ(faults_of(kGoodRecipe, overrides), "");
  }
}

TEST(Sampling, EarlyStoppingMayLookAtOneCorpusOfAMixture) {
  const auto fault = [](const std::string& metric) {
    return faults_of(mixed(), {"phases.topic.stop.early={metric: " + metric + "}"});
  };
  EXPECT_EQ(fault("valid.accuracy"), "");
  EXPECT_EQ(fault("valid.topics.accuracy"), "");
  EXPECT_EQ(fault("valid.more.accuracy"),
            "--set phases.topic.stop.early: phases.topic.stop.early needs a validation part, and "
            "the corpus \"more\" has none; give it valid files");
  EXPECT_NE(fault("valid.tags.accuracy").find("names no metric"), std::string::npos);
}

TEST(Sampling, ACurriculumByScoresNeedsTheirColumnInEveryCorpus) {
  const std::vector<std::string> overrides = {
      "phases.topic.curriculum={by: score, steps: 9}",
      "corpora.topics.columns={text: 1, label: 2, score: 3}"};
  EXPECT_EQ(faults_of(kGoodRecipe, overrides), "");
  EXPECT_EQ(faults_of(mixed(), overrides),
            "--set phases.topic.curriculum: phases.topic.curriculum goes by scores, and the corpus "
            "\"more\" has none; name their column (columns: {score: …}), or go by length");
  EXPECT_NE(faults_of(kGoodRecipe, {"corpora.tags.columns={score: 3}"}).find("is no column of"),
            std::string::npos);
}

TEST(Sampling, TheTableOfSynonymsMustBeThere) {
  try {
    check_files(parse(kGoodRecipe, "r.yaml", {"phases.topic.augment.synonyms.file=none.tsv"}));
    FAIL() << "accepted";
  } catch (const RecipeError& error) {
    EXPECT_NE(
        std::string(error.what()).find("phases.topic.augment.synonyms.file: no file \"none.tsv\""),
        std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace polyphase::recipe
