// SPDX-License-Identifier: Apache-2.0
#include "control/decide.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "control/conditions.hpp"
#include "control/halving.hpp"
#include "control/verdict.hpp"
#include "recipe/condition.hpp"
#include "recipe/load.hpp"

namespace polyphase {
namespace {

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Whether the phase was trained to its end in an earlier round under the same conditions, and
// where.
std::optional<PhaseUse> trained_before(const recipe::Recipe& recipe, const Journal& journal,
                                       const std::string& hash) {
  for (const Round& round : journal.rounds) {
    if (!round.verdict || !std::isfinite(round.verdict->score)) continue;
    const recipe::Recipe variant = recipe::variant_of(recipe, round.variant);
    for (const PhaseUse& use : round.phases) {
      if (use.round == round.number && recipe::phase_hash(variant, use.number) == hash) return use;
    }
  }
  return std::nullopt;
}

std::vector<PhaseUse> uses_of(const recipe::Recipe& recipe, const recipe::Recipe& variant,
                              const std::vector<std::size_t>& numbers, const Journal& journal,
                              std::int64_t round) {
  std::vector<PhaseUse> uses;
  for (const std::size_t number : numbers) {
    const std::string& name = variant.phases[number].name;
    std::optional<PhaseUse> use =
        trained_before(recipe, journal, recipe::phase_hash(variant, number));
    if (!use) {
      use = {.name = name,
             .number = number,
             .round = round,
             .folder = fmt::format("round-{}/{:02}-{}", round, number + 1, name)};
    }
    uses.push_back(*use);
  }
  return uses;
}

double share_of_stop(const recipe::Stop& now, const recipe::Stop& before) {
  const auto ratio = [](const auto& a, const auto& b) {
    return a && b ? static_cast<double>(*a) / static_cast<double>(*b) : 1.0;
  };
  return ratio(now.steps, before.steps) * ratio(now.epochs, before.epochs);
}

// Why the round does not fit into what is left of the budget; empty when it does.
std::string misfit(const recipe::Iterate& iterate, const PhaseCost& needed, const Facts& facts) {
  PhaseCost spent;
  for (const auto& [folder, cost] : facts.costs) {
    spent.steps += cost.steps;
    spent.seconds += cost.seconds;
  }
  if (iterate.max_steps && spent.steps + needed.steps > *iterate.max_steps) {
    return fmt::format("needs about {} steps, and {} of {} are spent", needed.steps, spent.steps,
                       *iterate.max_steps);
  }
  if (iterate.max_hours && spent.seconds + needed.seconds > *iterate.max_hours * 3600) {
    return fmt::format("needs about {:.0f} s, and {:.0f} of {:.0f} s are spent", needed.seconds,
                       spent.seconds, *iterate.max_hours * 3600);
  }
  return "";
}

class Search {
 public:
  Search(const recipe::Recipe& recipe, const Journal& journal, const Facts& facts)
      : recipe_(recipe),
        iterate_(*recipe.iterate),
        journal_(journal),
        facts_(facts),
        kept_(*kept_round(journal)) {}

  NextRound next() {
    if (target_holds(iterate_.target, kept_.verdict->score)) {
      return end(fmt::format("the target holds: {} of {} is {:.4g} in round {}",
                             iterate_.target.metric, iterate_.target.phase, kept_.verdict->score,
                             kept_.number));
    }
    if (static_cast<std::int64_t>(journal_.rounds.size()) >= iterate_.max_rounds)
      return end(fmt::format("the budget of {} rounds is spent", iterate_.max_rounds));
    for (const std::string& gated : recipe::gated_phases(recipe_)) {
      if (!tried_gate(gated) && try_gate(gated)) return found();
    }
    for (const recipe::Strategy& strategy : iterate_.strategies) {
      if (strategy.search ? try_search(strategy) : try_strategy(strategy)) return found();
    }
    return end(over_budget_ ? "what is left of the budget is too little for another round"
                            : "no strategy is left");
  }

 private:
  NextRound end(const std::string& why) { return {std::nullopt, why, considered_}; }
  NextRound found() { return {round_, "", {}}; }

  bool tried_gate(const std::string& name) const {
    return std::any_of(journal_.rounds.begin(), journal_.rounds.end(),
                       [&](const Round& round) { return contains(round.variant.gates, name); });
  }
  bool tried(const std::string& strategy) const {
    return round_of_strategy(journal_, strategy) != nullptr;
  }

  bool try_gate(const std::string& name) {
    const recipe::Phase& phase = *recipe::find_phase(recipe_, name);
    recipe::Variant variant = kept_.variant;
    variant.gates.push_back(name);
    considered_.push_back({.strategy = "phase " + name,
                           .condition = "gate",
                           .holds = true,
                           .numbers = {},
                           .note = {}});
    return try_variant(variant, phase.gate->margin.value_or(iterate_.margin));
  }

  bool try_strategy(const recipe::Strategy& strategy) {
    if (tried(strategy.name)) return false;
    considered_.push_back(look_at(strategy));
    if (!considered_.back().holds) return false;
    recipe::Variant variant = kept_.variant;
    variant.strategies.push_back(strategy.name);
    return try_variant(variant, iterate_.margin);
  }

  // The first trial that was not tried yet, rung by rung. A search whose condition held at its
  // beginning goes on to its end.
  bool try_search(const recipe::Strategy& strategy) {
    const std::vector<recipe::Strategy> first = trials_of_rung(recipe_, strategy, journal_, 0);
    const bool begun = std::any_of(first.begin(), first.end(), [&](const recipe::Strategy& trial) {
      return tried(trial.name);
    });
    for (std::int64_t rung = 0; rung < strategy.search->rungs; ++rung) {
      for (recipe::Strategy& trial : trials_of_rung(recipe_, strategy, journal_, rung)) {
        if (begun) trial.when.clear();
        if (try_strategy(trial)) return true;
      }
    }
    return false;
  }

  Considered look_at(const recipe::Strategy& strategy) const {
    Considered seen = {.strategy = strategy.name,
                       .condition = strategy.when,
                       .holds = false,
                       .numbers = {},
                       .note = {}};
    const recipe::Condition condition = recipe::parse_condition(strategy.when);
    seen.holds = condition.holds([this](const std::string& name) { return value_of(name); });
    for (const std::string& name : condition.names()) {
      seen.numbers[name] = value_of(name);
      const recipe::ConditionName parts = recipe::split_condition_name(name);
      if (!parts.part.empty()) continue;
      for (const std::string& number : numbers_of_word(parts.metric)) {
        const std::string full = parts.phase.empty() ? number : parts.phase + "." + number;
        seen.numbers[full] = value_of(full);
      }
    }
    return seen;
  }

  // Not-a-number where the kept round does not have it.
  double value_of(const std::string& name) const {
    const recipe::ConditionName parts = recipe::split_condition_name(name);
    const auto phase =
        facts_.measured.find(parts.phase.empty() ? iterate_.target.phase : parts.phase);
    if (phase == facts_.measured.end()) return std::nan("");
    const auto value =
        phase->second.find(parts.part.empty() ? parts.metric : parts.part + "." + parts.metric);
    return value == phase->second.end() ? std::nan("") : value->second;
  }

  // Makes the round, unless it cannot or need not be trained.
  bool try_variant(const recipe::Variant& variant, double margin) {
    Considered& seen = considered_.back();
    Round round = {.number = static_cast<std::int64_t>(journal_.rounds.size()) + 1,
                   .parent = kept_.number,
                   .adds = seen.strategy,
                   .margin = margin,
                   .variant = variant,
                   .changes = {},
                   .considered = {},
                   .phases = {},
                   .verdict = {}};
    try {
      const recipe::Recipe changed = recipe::variant_of(recipe_, variant);
      round.changes = recipe::differences(
          recipe::resolved(recipe::variant_of(recipe_, kept_.variant)), recipe::resolved(changed));
      round.phases = uses_of(recipe_, changed, recipe::road_to(changed, iterate_.target.phase),
                             journal_, round.number);
    } catch (const RecipeError& error) {
      seen.note = error.what();
      return false;
    }
    if (round.phases.back().round != round.number) {
      seen.note = fmt::format("gives what round {} was", round.phases.back().round);
      return false;
    }
    seen.note = misfit(iterate_, expected_cost(recipe_, round, kept_, facts_), facts_);
    over_budget_ = over_budget_ || !seen.note.empty();
    if (!seen.note.empty()) return false;
    round.considered = considered_;
    round_ = std::move(round);
    return true;
  }

  const recipe::Recipe& recipe_;
  const recipe::Iterate& iterate_;
  const Journal& journal_;
  const Facts& facts_;
  const Round& kept_;
  std::vector<Considered> considered_;
  std::optional<Round> round_;
  bool over_budget_ = false;
};

}  // namespace

PhaseCost expected_cost(const recipe::Recipe& recipe, const Round& round, const Round& parent,
                        const Facts& facts) {
  const recipe::Recipe now = recipe::variant_of(recipe, round.variant);
  const recipe::Recipe before = recipe::variant_of(recipe, parent.variant);
  PhaseCost sum;
  for (const PhaseUse& use : round.phases) {
    const PhaseUse* old = parent.find(use.name);
    if (use.round != round.number || old == nullptr) continue;
    const auto cost = facts.costs.find(old->folder);
    if (cost == facts.costs.end()) continue;
    const double share =
        share_of_stop(now.phases[use.number].stop, before.phases[old->number].stop);
    sum.steps += std::llround(share * static_cast<double>(cost->second.steps));
    sum.seconds += share * cost->second.seconds;
  }
  return sum;
}

Round first_round(const recipe::Recipe& recipe) {
  Round round = {.number = 1,
                 .parent = 0,
                 .adds = "the recipe as it is",
                 .margin = 0,
                 .variant = {},
                 .changes = {},
                 .considered = {},
                 .phases = {},
                 .verdict = {}};
  const recipe::Recipe variant = recipe::variant_of(recipe, {});
  std::vector<std::size_t> numbers;
  for (std::size_t p = 0; p < recipe.phases.size(); ++p) {
    if (!recipe.phases[p].gate) numbers.push_back(p);
  }
  if (numbers.size() < recipe.phases.size()) round.adds = "the recipe without its gated phases";
  round.phases = uses_of(recipe, variant, numbers, {}, 1);
  return round;
}

NextRound next_round(const recipe::Recipe& recipe, const Journal& journal, const Facts& facts) {
  POLYPHASE_PROMISE(recipe.iterate && kept_round(journal) != nullptr,
                    "a round is to follow where none was judged");
  return Search(recipe, journal, facts).next();
}

}  // namespace polyphase
