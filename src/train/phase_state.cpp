// SPDX-License-Identifier: Apache-2.0
#include "train/phase_state.hpp"

#include <cmath>

namespace polyphase {

bool runs_out_of_patience(PhaseState& state, const recipe::Early& early,
                          const std::map<std::string, double>& valid) {
  const double value = valid.at(early.metric.substr(std::string("valid.").size()));
  // Losses and perplexities are better when lower, every other metric when higher. What is no
  // number never is.
  const bool lower = early.metric.ends_with("loss") || early.metric.ends_with("perplexity");
  const double score = lower ? -value : value;
  if (std::isfinite(score) && (state.best_step < 0 || score > state.best_metric)) {
    state.best_metric = score;
    state.best_step = state.step;
    state.num_worse = 0;
    return false;
  }
  return ++state.num_worse >= early.patience;
}

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(HandOver, carried, copied, zeroed, merged, fresh,
                                                left, kept_updates)

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
  json.at("guard").get_to(state.guard);
  json.at("hand_over").get_to(state.hand_over);
}

}  // namespace polyphase
