// SPDX-License-Identifier: Apache-2.0
#include "control/round_states.hpp"

#include <cmath>

#include "base/error.hpp"
#include "control/conditions.hpp"
#include "recipe/condition.hpp"
#include "recipe/variants.hpp"

namespace polyphase {
namespace {

std::vector<std::string> texts_of(const std::vector<Considered>& all,
                                  const recipe::Thresholds& thresholds) {
  std::vector<std::string> texts;
  for (const Considered& considered : all) texts.push_back(considered_text(considered, thresholds));
  return texts;
}

std::string state_of(const recipe::Recipe& recipe, const Round& round) {
  if (!round.verdict) return "running";
  const std::vector<std::string>& strategies = round.variant.strategies;
  if (!strategies.empty() && recipe::find_strategy(recipe, strategies.back()).is_preliminary())
    return "tried";
  return round.verdict->kept ? "kept" : "rejected";
}

bool is_word(const std::string& name) { return recipe::split_condition_name(name).part.empty(); }

}  // namespace

std::string considered_text(const Considered& considered, const recipe::Thresholds& thresholds) {
  std::string text = considered.strategy;
  if (considered.condition.empty()) {
    text += ": always";
  } else if (considered.condition != "gate") {
    text +=
        fmt::format(": {} {}", considered.condition, considered.holds ? "holds" : "does not hold");
  } else {
    text += ": the phase has a gate";
  }
  std::vector<std::string> numbers, definitions;
  for (const auto& [name, value] : considered.numbers) {
    if (!is_word(name)) {
      numbers.push_back(fmt::format("{} {:.4g}", name, value));
      continue;
    }
    const std::string word = recipe::split_condition_name(name).metric;
    definitions.push_back(fmt::format("{}: {}", word, definition_of(word, thresholds)));
  }
  if (!numbers.empty()) text += fmt::format(" ({})", fmt::join(numbers, ", "));
  if (!considered.note.empty()) text += "; passed over: " + considered.note;
  if (!definitions.empty()) text += fmt::format(". {}", fmt::join(definitions, "; "));
  return text;
}

report::RoundsState round_states(const recipe::Recipe& recipe, const Journal& journal) {
  report::RoundsState states;
  if (!recipe.iterate) return states;
  const recipe::Target& target = recipe.iterate->target;
  states.phase = target.phase;
  states.metric = target.metric;
  states.target = fmt::format("{} of {} {} {:g}", target.metric, target.phase,
                              target.at_least ? "at least" : "at most",
                              target.at_least.value_or(target.at_most.value_or(0)));
  states.ended = journal.ended;
  states.considered = texts_of(journal.considered, recipe.iterate->conditions);
  if (const Round* kept = kept_round(journal); kept != nullptr) states.best = kept->number;
  for (const Round& round : journal.rounds) {
    report::RoundState state = {
        .number = round.number,
        .parent = round.parent,
        .state = state_of(recipe, round),
        .adds = round.adds,
        .changes = round.changes,
        .considered = texts_of(round.considered, recipe.iterate->conditions),
        .score = round.verdict ? round.verdict->score : std::nan(""),
        .reason = round.verdict ? round.verdict->reason : "",
        .folders = {}};
    for (const PhaseUse& use : round.phases) state.folders[use.name] = use.folder;
    states.rounds.push_back(std::move(state));
  }
  return states;
}

nlohmann::json to_status(const report::RoundsState& rounds) {
  nlohmann::json object = {{"phase", rounds.phase},
                           {"metric", rounds.metric},
                           {"target", rounds.target},
                           {"ended", rounds.ended},
                           {"considered", rounds.considered},
                           {"best", rounds.best},
                           {"rounds", nlohmann::json::array()}};
  for (const report::RoundState& round : rounds.rounds) {
    nlohmann::json score = round.score;
    if (!std::isfinite(round.score)) score = fmt::format("{}", round.score);
    object["rounds"].push_back({{"round", round.number},
                                {"parent", round.parent},
                                {"state", round.state},
                                {"adds", round.adds},
                                {"changes", round.changes},
                                {"considered", round.considered},
                                {"score", score},
                                {"reason", round.reason},
                                {"folders", round.folders}});
  }
  return object;
}

}  // namespace polyphase
