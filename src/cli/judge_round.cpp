// SPDX-License-Identifier: Apache-2.0
#include "cli/judge_round.hpp"

#include <cmath>

#include "cli/score_rounds.hpp"
#include "control/verdict.hpp"
#include "recipe/variants.hpp"

namespace polyphase {
namespace {

// The last round's last strategy where it is a trial of a search with a share of its steps.
std::optional<recipe::Strategy> preliminary_trial(const recipe::Recipe& recipe,
                                                  const Journal& journal) {
  const std::vector<std::string>& strategies = journal.rounds.back().variant.strategies;
  if (strategies.empty()) return std::nullopt;
  const recipe::Strategy last = recipe::find_strategy(recipe, strategies.back());
  return last.is_preliminary() ? std::optional(last) : std::nullopt;
}

// Its parent's score does not matter, as long as it has a parent.
Verdict verdict_of_diverged(const recipe::Recipe& recipe, const Journal& journal) {
  const double nan = std::nan("");
  if (const auto trial = preliminary_trial(recipe, journal)) return judge_preliminary(*trial, nan);
  return judge(*recipe.iterate, journal.rounds.back().margin, nan,
               journal.rounds.size() > 1 ? std::optional(0.0) : std::nullopt, {});
}

}  // namespace

std::optional<Verdict> judge_round(const recipe::Recipe& recipe, const std::string& run_dir,
                                   const Journal& journal, bool diverged, const Communicator& world,
                                   StopRequest& stop) {
  if (diverged) return verdict_of_diverged(recipe, journal);
  const recipe::Target& target = recipe.iterate->target;
  const Round& round = journal.rounds.back();
  const std::optional<recipe::Strategy> trial = preliminary_trial(recipe, journal);
  const Round* parent = trial ? nullptr : kept_round(journal);
  const bool scored = parent != nullptr && std::isfinite(parent->verdict->score);
  const std::optional<RoundScore> score =
      score_round({.run = run_dir,
                   .folder = round.find(target.phase)->folder,
                   .parent_folder = scored ? parent->find(target.phase)->folder : "",
                   .metric = target.metric,
                   .lower_is_better = target.at_most.has_value(),
                   .tensor = recipe.parallel.tensor},
                  world, stop);
  if (!score) return std::nullopt;
  if (trial) return judge_preliminary(*trial, score->score);
  std::optional<double> parent_score = score->parent_score;
  if (parent != nullptr && !scored) parent_score = std::nan("");
  return judge(*recipe.iterate, round.margin, score->score, parent_score, score->test);
}

}  // namespace polyphase
