// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "model/reference_run.hpp"
#include "predict/generate.hpp"
#include "predict/next_token.hpp"
#include "text/tokenizer.hpp"

namespace polyphase {
namespace {

using Tokens = std::vector<std::int32_t>;

// Rows of some sequences whose tokens stand at the given first positions.
void lay(Rows& rows, const std::vector<Tokens>& sequences, std::int32_t first_position) {
  rows.starts.push_back(0);
  for (const Tokens& tokens : sequences) {
    std::int32_t position = first_position;
    for (const std::int32_t token : tokens) {
      rows.tokens_N.push_back(token);
      rows.positions_N.push_back(position++);
    }
    rows.starts.push_back(static_cast<std::int32_t>(rows.tokens_N.size()));
    rows.max_tokens = std::max<std::int64_t>(rows.max_tokens, tokens.size());
  }
  // As in generate(): what goes on from a prompt has no padding.
  if (first_position == 0) rows.tokens_N.resize(kRowMultiple, 0);
  rows.positions_N.resize(rows.tokens_N.size(), 0);
  rows.segments_N.assign(rows.tokens_N.size(), 0);
  rows.row_ids_N.assign(rows.tokens_N.size(), 0);
}

class Generation : public testing::TestWithParam<std::string> {
 protected:
  Batch batch_of(const std::vector<Tokens>& sequences, std::int32_t first_position,
                 bool with_source) {
    Batch batch;
    lay(batch, sequences, first_position);
    if (with_source) lay(batch.source, {{9, 8, 7, 3}, {6, 5, 3}}, 0);
    return batch;
  }
};

// Logits from rows that come one by one, with keys and values kept, are those of all rows at once:
// the sums inside are the same, but products of other sizes may add in another order.
TEST_P(Generation, CachedRowsGiveTheLogitsOfTheWholeSequence) {
  const nlohmann::json reference = read_case(GetParam());
  const RankGrid grid = make_grid(*test_world, test_world->size());
  ReferenceRun run(reference, grid, 1);
  const bool with_source = run.recipe().model.family == recipe::Family::kT5;
  const std::vector<Tokens> whole = {{2, 11, 12, 13, 14}, {2, 21, 22, 23, 24}};
  PhaseModel& model = run.model();
  model.begin_generation(2, 8);
  const std::vector<float> at_once = model.next_logits(batch_of(whole, 0, with_source));
  model.begin_generation(2, 8);
  std::vector<float> one_by_one;
  for (std::int32_t position = 0; position < 5; ++position) {
    if (position == 1) continue;  // the first pass brings two rows
    const auto next = [&](const Tokens& tokens) {
      return position == 0 ? Tokens(tokens.begin(), tokens.begin() + 2) : Tokens{tokens[position]};
    };
    one_by_one = model.next_logits(
        batch_of({next(whole[0]), next(whole[1])}, position, with_source && position == 0));
  }
  ASSERT_EQ(at_once.size(), one_by_one.size());
  for (std::size_t i = 0; i < at_once.size(); ++i)
    EXPECT_NEAR(one_by_one[i], at_once[i], 2e-5 * (1 + std::abs(at_once[i]))) << i;
}

INSTANTIATE_TEST_SUITE_P(Families, Generation,
                         testing::Values("family_gpt2_clm", "family_llama_clm",
                                         "family_t5_1_0_span", "family_t5_1_1_generation",
                                         "family_t5_rotary_generation"),
                         [](const auto& info) { return info.param; });

class KeptWeightsOf : public Generation {};

// What a generation keeps of weights, rounded or with their low-rank additions, is what other
// passes make each time, and follows the parameters from one generation to the next.
TEST_P(KeptWeightsOf, GiveTheLossOfAPassThatMakesThemItself) {
  const nlohmann::json reference = read_case(GetParam());
  const RankGrid grid = solo_grid();
  constexpr std::int32_t kLabel = 30;
  for (const recipe::Precision precision : {recipe::Precision::kF32, recipe::Precision::kBf16}) {
    ReferenceRun run(reference, grid, 1, precision);
    Batch batch = batch_of({{2, 11, 12, 13, 14}}, 0, false);
    batch.target_rows_M.assign(kTargetRowMultiple, -1);
    batch.target_labels_M.assign(kTargetRowMultiple, -1);
    batch.target_rows_M[0] = 4, batch.target_labels_M[0] = kLabel;
    std::vector<double> nats;
    for (std::int64_t step = 0; step < 2; ++step) {
      nats.push_back(run.model().evaluate(batch).front().nats);
      run.model().begin_generation(1, 8);
      const std::vector<float> logits = run.model().next_logits(batch);
      double sum = 0;
      for (const float logit : logits) sum += std::exp(double{logit});
      EXPECT_NEAR(std::log(sum) - logits[kLabel], nats.back(), 1e-5);
      run.step(step);
    }
    EXPECT_GT(std::abs(nats[0] - nats[1]), 1e-4);
  }
}

INSTANTIATE_TEST_SUITE_P(Decoders, KeptWeightsOf, testing::Values("family_gpt2_clm", "lora_clm"),
                         [](const auto& info) { return info.param; });

class Reordering : public Generation {};

TEST_P(Reordering, SequencesGoOnFromTheirParents) {
  const nlohmann::json reference = read_case(GetParam());
  const RankGrid grid = solo_grid();
  ReferenceRun run(reference, grid, 1);
  PhaseModel& model = run.model();
  model.begin_generation(2, 8);
  model.next_logits(batch_of({{2, 11, 12}, {2, 21}}, 0, false));
  model.reorder_generation({1, 1});
  Batch next;
  lay(next, {{30}, {30}}, 2);
  const std::vector<float> logits = model.next_logits(next);
  const std::size_t half = logits.size() / 2;
  for (std::size_t i = 0; i < half; ++i) EXPECT_EQ(logits[i], logits[half + i]);
  model.begin_generation(2, 8);
  const std::vector<float> straight =
      model.next_logits(batch_of({{2, 21, 30}, {2, 21, 30}}, 0, false));
  for (std::size_t i = 0; i < half; ++i)
    EXPECT_NEAR(logits[i], straight[i], 2e-5 * (1 + std::abs(straight[i])));
}

INSTANTIATE_TEST_SUITE_P(Decoders, Reordering,
                         testing::Values("family_gpt2_clm", "family_llama_clm"),
                         [](const auto& info) { return info.param; });

// A prompt is the prefix that all of its rows see, as in training.
TEST(Prefixes, PromptsAreSeenFromEverywhere) {
  const nlohmann::json reference = read_case("family_gpt2_prefix_lm");
  const RankGrid grid = solo_grid();
  ReferenceRun run(reference, grid, 1);
  const Tokens prompt = {2, 11, 12, 13};
  const auto best_after = [&](std::int32_t prefix) {
    run.model().begin_generation(1, 8);
    Batch batch;
    lay(batch, {prompt}, 0);
    if (prefix > 0) batch.prefixes_B = {prefix};
    const std::vector<double> p = log_probabilities(run.model().next_logits(batch), 50);
    return *std::max_element(p.begin(), p.end());
  };
  const auto generated = [&](bool prefixes) {
    const GenerationInput input = {
        .prompts = {prompt}, .prompts_are_prefixes = prefixes, .num_pieces = 50};
    return generate(run.model(), input, {.max_new_tokens = 1}).front().log_probability;
  };
  EXPECT_NEAR(generated(true), best_after(4), 1e-6);
  EXPECT_NEAR(generated(false), best_after(0), 1e-6);
  EXPECT_GT(std::abs(generated(true) - generated(false)), 1e-4);
}

// As many beams as pieces keep every sequence of two tokens: the search is exhaustive.
TEST(Beams, AsManyAsPiecesFindTheBestOfAllSequences) {
  const nlohmann::json reference = read_case("family_gpt2_clm");
  const RankGrid grid = solo_grid();
  ReferenceRun run(reference, grid, 1);
  const GenerationSettings settings = {.max_new_tokens = 2, .beams = 50, .length_penalty = 0.7};
  const GenerationInput input = {.prompts = {{2, 11, 12}}, .num_pieces = 50};
  const Generated best = generate(run.model(), input, settings).front();

  const auto log_probabilities_after = [&](const Tokens& prompt) {
    run.model().begin_generation(1, 8);
    Batch batch;
    lay(batch, {prompt}, 0);
    return log_probabilities(run.model().next_logits(batch), 50);
  };
  const std::vector<double> first = log_probabilities_after({2, 11, 12});
  double best_score = first[text::kSepId];
  for (std::int32_t a = 0; a < 50; ++a) {
    if (a == text::kSepId || std::isinf(first[a])) continue;
    for (const double second : log_probabilities_after({2, 11, 12, a}))
      best_score = std::max(best_score, (first[a] + second) / std::pow(2.0, 0.7));
  }
  const double length = static_cast<double>(best.tokens.size()) + (best.ended ? 1 : 0);
  EXPECT_NEAR(best.log_probability / std::pow(length, 0.7), best_score, 1e-5);
}

TEST(NextToken, SpecialTokensAreNeverGenerated) {
  const std::vector<float> logits = {9, 1, 9, 1, 9, 1, 1, 9};
  const std::vector<double> p = log_probabilities(logits, 7);
  for (const std::int32_t token : {text::kPadId, text::kClsId, text::kMaskId, 7})
    EXPECT_TRUE(std::isinf(p[token]));
  EXPECT_NEAR(p[5], std::log(0.25), 1e-6);
}

TEST(NextToken, SamplesFollowTheProbabilitiesThatAreLeft) {
  const std::vector<float> logits = {0, 0, 0, 0, 0, 3, 2, 1, 0, -1};
  const std::vector<double> p = log_probabilities(logits, 10);
  const auto shares = [&](GenerationSettings settings) {
    std::map<std::int32_t, double> counts;
    Draws draws(3, 4);
    for (int i = 0; i < 20000; ++i) counts[sample(p, settings, draws)] += 1.0 / 20000;
    return counts;
  };
  auto top_k = shares({.temperature = 1.0, .top_k = 2});
  EXPECT_EQ(top_k.size(), 2U);
  EXPECT_NEAR(top_k[5], std::exp(1.0) / (1 + std::exp(1.0)), 0.015);
  // Probabilities fall by e from token to token: the first two hold 0.80 of all, three 0.91.
  EXPECT_EQ(shares({.temperature = 1.0, .top_p = 0.85}).size(), 3U);
  auto hot = shares({.temperature = 2.0, .top_k = 2});
  EXPECT_NEAR(hot[5], std::exp(0.5) / (1 + std::exp(0.5)), 0.015);
}

// Of so many tokens only the likeliest are sorted at first.
TEST(NextToken, SamplesOfManyTokensFollowTheirProbabilities) {
  constexpr std::int64_t kTokens = 5000;
  std::vector<float> logits(kTokens, 0.0F);
  logits[10] = std::log(5000.0F);  // half of all
  const std::vector<double> p = log_probabilities(logits, kTokens);
  EXPECT_NEAR(p[10], -std::log(2.0), 1e-3);
  Draws draws(3, 4);
  double first = 0, behind = 0;
  for (int i = 0; i < 4000; ++i) {
    const std::int32_t token = sample(p, {.temperature = 1.0}, draws);
    first += token == 10 ? 1.0 / 4000 : 0;
    behind += token > 2500 ? 1.0 / 4000 : 0;
    EXPECT_EQ(sample(p, {.temperature = 1.0, .top_p = 0.4}, draws), 10);
  }
  EXPECT_NEAR(first, 0.5, 0.04);
  EXPECT_NEAR(behind, 0.25, 0.04);
}

}  // namespace
}  // namespace polyphase
