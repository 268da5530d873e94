// SPDX-License-Identifier: Apache-2.0
#include "train/phase_state.hpp"

#include <algorithm>
#include <cmath>

namespace polyphase {

namespace {

// Losses and perplexities are better when lower, every other metric when higher.
double score_of(const std::string& metric, const std::map<std::string, double>& valid) {
  const double value = valid.at(metric.substr(std::string("valid.").size()));
  return metric.ends_with("loss") || metric.ends_with("perplexity") ? -value : value;
}

}  // namespace

bool runs_out_of_patience(PhaseState& state, const recipe::Early& early,
                          const std::map<std::string, double>& valid) {
  const double score = score_of(early.metric, valid);
  // What is no number never is better.
  if (std::isfinite(score) && (state.best_step < 0 || score > state.best_metric)) {
    state.best_metric = score;
    state.best_step = state.step;
    state.num_worse = 0;
    return false;
  }
  return ++state.num_worse >= early.patience;
}

bool is_among_best(PhaseState& state, std::int64_t num_kept, const std::string& metric,
                   const std::map<std::string, double>& valid) {
  std::vector<ScoredStep>& best = state.best_evaluations;
  const ScoredStep now = {.score = score_of(metric, valid), .step = state.step};
  const auto size = static_cast<std::size_t>(num_kept);
  if (best.size() > size) best.resize(size);  // the recipe says less than it did
  if (!std::isfinite(now.score)) return false;
  const auto worse = std::find_if(best.begin(), best.end(),
                                  [&](const ScoredStep& other) { return other.score < now.score; });
  const auto place = static_cast<std::size_t>(worse - best.begin());
  if (place >= size) return false;
  best.insert(worse, now);
  if (best.size() > size) best.pop_back();
  return true;
}

std::set<std::int64_t> kept_steps(const PhaseState& state) {
  std::set<std::int64_t> steps = {state.result_step};
  for (const ScoredStep& evaluation : state.best_evaluations) steps.insert(evaluation.step);
  return steps;
}

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ScoredStep, score, step)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(HandOver, carried, copied, zeroed, merged, fresh,
                                                left, kept_updates, square_updates, state)

void to_json(nlohmann::json& json, const PhaseState& state) {
  json = {{"step", state.step},
          {"num_tokens", state.num_tokens},
          {"seconds", state.seconds},
          {"evaluation_due", state.evaluation_due},
          {"stopped_early", state.stopped_early},
          {"best_metric", state.best_metric},
          {"best_step", state.best_step},
          {"num_worse", state.num_worse},
          {"result_step", state.result_step},
          {"best_evaluations", state.best_evaluations},
          {"guard", state.guard},
          {"hand_over", state.hand_over}};
}

void from_json(const nlohmann::json& json, PhaseState& state) {
  json.at("step").get_to(state.step);
  json.at("num_tokens").get_to(state.num_tokens);
  json.at("seconds").get_to(state.seconds);
  json.at("evaluation_due").get_to(state.evaluation_due);
  json.at("stopped_early").get_to(state.stopped_early);
  json.at("best_metric").get_to(state.best_metric);
  json.at("best_step").get_to(state.best_step);
  json.at("num_worse").get_to(state.num_worse);
  state.result_step = json.value("result_step", state.step);
  state.best_evaluations = json.value("best_evaluations", state.best_evaluations);
  json.at("guard").get_to(state.guard);
  json.at("hand_over").get_to(state.hand_over);
}

}  // namespace polyphase
