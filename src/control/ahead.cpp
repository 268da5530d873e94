// SPDX-License-Identifier: Apache-2.0
#include "control/ahead.hpp"

#include <algorithm>

#include "control/halving.hpp"
#include "recipe/load.hpp"

namespace polyphase {
namespace {

// As a round that is through and not better than the one that is kept.
void assume_judged(const recipe::Recipe& recipe, Round& round, const Round& kept, Facts& facts) {
  const PhaseCost cost = expected_cost(recipe, round, kept, facts);
  bool first = true;
  for (const PhaseUse& use : round.phases) {
    if (use.round != round.number) continue;
    facts.costs[use.folder] = first ? cost : PhaseCost{};
    first = false;
  }
  round.verdict = Verdict{.kept = false, .score = 0, .reason = "assumed"};
}

}  // namespace

std::vector<Round> trials_ahead(const recipe::Recipe& recipe, const Journal& journal,
                                const Facts& facts, std::int64_t most) {
  std::vector<Round> ahead;
  const recipe::Strategy* search = search_of(recipe, journal.rounds.back());
  if (search == nullptr || journal.rounds.back().verdict) return ahead;
  const std::int64_t rung = recipe::find_strategy(recipe, journal.rounds.back().adds).rung;
  Journal future = journal;
  Facts expected = facts;
  while (static_cast<std::int64_t>(ahead.size()) < most) {
    const Round kept = *kept_round(future);
    assume_judged(recipe, future.rounds.back(), kept, expected);
    std::optional<Round> next = next_round(recipe, future, expected).round;
    if (!next || search_of(recipe, *next) != search ||
        recipe::find_strategy(recipe, next->adds).rung != rung)
      break;
    ahead.push_back(*next);
    future.rounds.push_back(std::move(*next));
  }
  return ahead;
}

bool trains_the_same(const recipe::Recipe& recipe, const Round& a, const Round& b) {
  const auto same_use = [](const PhaseUse& x, const PhaseUse& y) {
    return x.name == y.name && x.number == y.number && x.round == y.round && x.folder == y.folder;
  };
  return a.number == b.number &&
         std::equal(a.phases.begin(), a.phases.end(), b.phases.begin(), b.phases.end(), same_use) &&
         recipe::resolved(recipe::variant_of(recipe, a.variant)) ==
             recipe::resolved(recipe::variant_of(recipe, b.variant));
}

}  // namespace polyphase
