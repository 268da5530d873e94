// SPDX-License-Identifier: Apache-2.0
// What a recipe says of Slurm jobs.
#include <gtest/gtest.h>

#include "recipe/variants.hpp"
#include "tests/recipe/good_recipe.hpp"

namespace polyphase::recipe {
namespace {

const std::string kTopic = "task: {kind: classification, pooling: first}\n";

// The good recipe with a section slurm, and one of the phase topic.
std::string with_slurm(const std::string& whole, const std::string& of_topic = "") {
  const std::string phase = of_topic.empty() ? "" : "    slurm: " + of_topic + "\n";
  return good_recipe_with(kTopic, kTopic + phase) + "slurm: " + whole + "\n";
}

TEST(Slurm, PhasesOwnValuesComeBeforeTheRecipes) {
  const Recipe recipe =
      parse(with_slurm("{ranks: 8, time: '02:00:00', partition: long, prepare: {ranks: 1}}",
                       "{ranks: 2, options: [--mem=4G]}"),
            "r.yaml");
  const SlurmJob topic = slurm_job_of(recipe, find_phase(recipe, "topic"));
  EXPECT_EQ(topic.ranks, 2);
  EXPECT_EQ(topic.time_seconds, 7200);
  EXPECT_EQ(topic.partition, "long");
  EXPECT_EQ(topic.options, std::vector<std::string>{"--mem=4G"});
  const SlurmJob tags = slurm_job_of(recipe, find_phase(recipe, "tags"));
  EXPECT_EQ(tags.ranks, 8);
  EXPECT_TRUE(tags.options.empty());
  EXPECT_EQ(slurm_job_of(recipe, nullptr).ranks, 1);
}

TEST(Slurm, JobsAreNoPartOfARunsIdentity) {
  const Recipe without = parse(kGoodRecipe, "r.yaml");
  const Recipe with = parse(with_slurm("{ranks: 8}", "{time: 600}"), "r.yaml");
  EXPECT_EQ(recipe_hash(without), recipe_hash(with));
  EXPECT_EQ(phase_hash(without, 2), phase_hash(with, 2));
  EXPECT_TRUE(differences(resolved(without), resolved(with)).empty());
  const Recipe back = parse(resolved(with), "resolved");
  EXPECT_EQ(resolved(back), resolved(with));
}

TEST(Slurm, FaultsAreToldWithTheirPlaces) {
  const auto has = [](const std::string& recipe, const std::string& words) {
    const std::string faults = faults_of(recipe);
    EXPECT_NE(faults.find(words), std::string::npos) << faults;
  };
  has(with_slurm("{nodes: 4, ranks: 2}"), "slurm asks for 2 ranks on 4 nodes");
  has(with_slurm("{time: 100}"), "slurm.time is 100 s, all of which lies within the 120 s");
  has(with_slurm("{time: 1000}", "{warn_seconds: 2000}"),
      "phases.topic.slurm.time is 1000 s, all of which lies within the 2000 s");
  has(with_slurm("{partition: a b}"), "slurm.partition is \"a b\"; expected one word");
  has(with_slurm("{options: [mem=4G]}"), "\"mem=4G\" is no option of sbatch");
  has(with_slurm("{setup: [\"a\\nb\"]}"), "has a line end");
  has(with_slurm("{}", "{script: x}"), "unknown key \"script\" in phases.topic.slurm");
  EXPECT_EQ(faults_of(with_slurm("{time: 121, nodes: 2, ranks: 2}", "{time: '1:00:00'}")), "");
}

}  // namespace
}  // namespace polyphase::recipe
