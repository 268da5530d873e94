// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "recipe/differing_keys.hpp"
#include "tests/recipe/good_recipe.hpp"

namespace polyphase::recipe {
namespace {

Recipe good_with(const std::vector<std::string>& overrides = {}) {
  return parse(kGoodRecipe, "r.yaml", overrides);
}

TEST(ResolvedRecipe, LoadsAgainAsTheSameRecipe) {
  const Recipe recipe = good_with(
      {"corpora.text.files=['a b.txt', '- c', 'ü\"\\.txt', '${X}/y', 'null']",
       "phases.pretrain.stop.early={metric: valid.loss, patience: 3}",
       "phases.pretrain.optimizer.learning_rate=0.1234567890123456", "seed=18446744073709551615"});
  const std::string text = resolved(recipe);
  const Recipe again = parse(text, "resolved");
  EXPECT_EQ(resolved(again), text);
  EXPECT_EQ(recipe_hash(again), recipe_hash(recipe));
  EXPECT_EQ(again.corpora[0].files, recipe.corpora[0].files);
  EXPECT_EQ(again.seed, recipe.seed);
  EXPECT_EQ(again.folder, recipe.folder);
  EXPECT_EQ(again.limits.wall_time_seconds, 5400);
  EXPECT_EQ(again.phases[0].optimizer.learning_rate, 0.1234567890123456);
  ASSERT_TRUE(again.phases[0].stop.early.has_value());
  EXPECT_EQ(again.phases[0].stop.early->patience, 3);
  EXPECT_EQ(again.phases[2].task->pooling, Pooling::kFirst);
  EXPECT_EQ(again.tokenizer.kind, TokenizerKind::kBpe);
  EXPECT_EQ(again.precision, Precision::kBf16);
}

TEST(ResolvedRecipe, WritesEveryDefault) {
  const std::string text = resolved(good_with());
  for (const char* key : {"run_dir: runs/demo", "norm_epsilon: 1e-12", "beta2: 0.999",
                          "mask_fraction: 0.15", "micro_batch: 0", "valid_fraction: 0.01"}) {
    EXPECT_NE(text.find(key), std::string::npos) << key;
  }
}

TEST(ResolvedRecipe, HashIgnoresWhatMayDifferBetweenContinuingRuns) {
  const std::string hash = recipe_hash(good_with());
  for (const char* same : {"run_dir=/elsewhere", "folder=/data", "checkpoint.every_steps=7",
                           "checkpoint.keep=9", "limits.wall_time=60", "parallel.tensor=1",
                           "parallel.shard=optimizer", "recompute=selective", "recompute=full"}) {
    EXPECT_EQ(recipe_hash(good_with({same})), hash) << same;
  }
  for (const char* other : {"seed=8", "model.width=64", "phases.topic.stop.epochs=4",
                            "corpora.text.files=[c.txt]", "tokenizer.vocab_size=600"}) {
    EXPECT_NE(recipe_hash(good_with({other})), hash) << other;
  }
}

TEST(ResolvedRecipe, PhaseHashCoversThePhaseAndWhatItStartsFrom) {
  const auto hashes = [](const std::vector<std::string>& overrides) {
    const Recipe recipe = good_with(overrides);
    return std::vector<std::string>{phase_hash(recipe, 0), phase_hash(recipe, 1),
                                    phase_hash(recipe, 2)};
  };
  const std::vector<std::string> base = hashes({});
  const auto changed = [&](const std::string& override_text) {
    const std::vector<std::string> now = hashes({override_text});
    std::string which;
    for (std::size_t i = 0; i < 3; ++i) which += now[i] == base[i] ? '=' : 'x';
    return which;
  };
  EXPECT_EQ(changed("phases.topic.dropout=0.5"), "==x");
  EXPECT_EQ(changed("corpora.topics.train=[z.tsv]"), "==x");
  EXPECT_EQ(changed("phases.tags.stop.epochs=5"), "=xx");
  EXPECT_EQ(changed("phases.pretrain.stop.steps=5"), "xxx");
  EXPECT_EQ(changed("corpora.text.files=[z.txt]"), "xxx");
  EXPECT_EQ(changed("model.dropout=0.3"), "xxx");
  EXPECT_EQ(changed("name=other"), "===");
  EXPECT_EQ(changed("phases.topic.from=pretrain"), "==x");
  EXPECT_EQ(changed("parallel.tensor=1"), "===");
  EXPECT_EQ(changed("parallel.shard=optimizer"), "===");
  EXPECT_EQ(changed("recompute=full"), "===");
}

TEST(ResolvedRecipe, DifferencesNameKeysAndBothValues) {
  const std::string before = resolved(good_with());
  EXPECT_TRUE(differences(before, resolved(good_with(
                                      {"run_dir=/x", "limits.wall_time=1", "recompute=full"})))
                  .empty());
  EXPECT_EQ(
      differences(before, resolved(good_with({"phases.pretrain.stop.steps=3000",
                                              "phases.topic.dropout=", "corpora.text.files=[c.txt]",
                                              "phases.topic.max_tokens=32"}))),
      (std::vector<std::string>{
          "corpora.text.files: [a.txt, b.txt] → [c.txt]", "phases.pretrain.stop.steps: 100 → 3000",
          "phases.topic.dropout: 0.2 → (none)", "phases.topic.max_tokens: (none) → 32"}));
}

TEST(ResolvedRecipe, DifferencesShowThatPhasesChangedPlaces) {
  Recipe swapped = good_with({"phases.topic.from=pretrain"});
  const std::string before = resolved(swapped);
  std::swap(swapped.phases[1], swapped.phases[2]);
  EXPECT_EQ(
      differences(before, resolved(swapped)),
      std::vector<std::string>{"phases.order: [pretrain, tags, topic] → [pretrain, topic, tags]"});
}

TEST(ResolvedRecipe, MicroBatchIsChosenWithoutLookingAtRanks) {
  Phase phase;
  const auto chosen = [&phase](std::int64_t sequences) {
    phase.batch.sequences = sequences;
    return micro_batch_of(phase);
  };
  EXPECT_EQ(chosen(1), 1);
  EXPECT_EQ(chosen(8), 2);
  EXPECT_EQ(chosen(12), 2);
  EXPECT_EQ(chosen(24), 4);
  EXPECT_EQ(chosen(64), 16);
  EXPECT_EQ(chosen(100), 4);
  EXPECT_EQ(chosen(128), 32);
  EXPECT_EQ(chosen(4096), 32);
  phase.batch.micro_batch = 7;
  EXPECT_EQ(micro_batch_of(phase), 7);
}

TEST(ResolvedRecipe, TheRecipesOfTheProjectAreGood) {
  for (const char* name : {"tiny.yaml", "wordnet.yaml"}) {
    const Recipe recipe = load(std::string(POLYPHASE_INPUTS) + "/" + name);
    EXPECT_EQ(resolved(parse(resolved(recipe), name)), resolved(recipe));
    for (const std::int64_t num_ranks : {1, 2, 4}) check_layout(recipe, num_ranks);
  }
}

TEST(DifferingKeys, GoByTheNamesOfTheirPhases) {
  const std::string a =
      "seed: 1\nrun_dir: x\nphases:\n  - name: topic\n    dropout: 0.1\n    from: x\n";
  const std::string b = "seed: 2\nrun_dir: y\nphases:\n  - name: topic\n    dropout: 0.1\n";
  const std::map<std::string, std::vector<std::string>> expected = {
      {"phases.topic.from", {"x", "–", "x"}}, {"seed", {"1", "2", "1"}}};
  EXPECT_EQ(differing_keys({a, b, a}), expected);
  EXPECT_TRUE(differing_keys({a, a}).empty());
  EXPECT_THROW(differing_keys({a, "seed: [1"}), RecipeError);
}

}  // namespace
}  // namespace polyphase::recipe
