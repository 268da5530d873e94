// SPDX-License-Identifier: Apache-2.0
#include "optimizer/element_rules.hpp"

#include <type_traits>

#include "kernels/adamw.hpp"
#include "kernels/momentum.hpp"

namespace polyphase {
namespace {

template <class Moment>
const std::vector<Tensor1<Moment>>& state_in(const UpdateTensors& tensors) {
  if constexpr (std::is_same_v<Moment, float>) {
    return tensors.state;
  } else {
    return tensors.rounded_state;
  }
}

}  // namespace

std::vector<StateSpec> SgdRule::state_of(const Parameter&) const {
  if (settings_.momentum == 0) return {};
  return {{"velocity"}};
}

void SgdRule::update(const Exec& exec, const Communicator&,
                     const std::vector<ParameterUpdate>& updates) const {
  std::vector<SgdUpdate> all;
  for (const auto& [tensors, numbers] : updates) {
    all.push_back({.parameter = tensors.value,
                   .velocity = tensors.state.empty() ? Tensor1<float>() : tensors.state[0],
                   .gradient = tensors.gradient,
                   .rule = {.learning_rate = static_cast<float>(numbers.learning_rate),
                            .momentum = static_cast<float>(settings_.momentum),
                            .nesterov = settings_.nesterov,
                            .weight_decay = static_cast<float>(numbers.weight_decay),
                            .gradient_scale = static_cast<float>(numbers.gradient_scale)}});
  }
  sgd_update(exec, all);
}

std::vector<StateSpec> AdamRule::state_of(const Parameter&) const {
  return {{"moment1"}, {"moment2"}};
}

template <class Moment>
void AdamRule::update_in(const Exec& exec, const std::vector<ParameterUpdate>& updates) const {
  std::vector<AdamWUpdate<Moment>> all;
  for (const auto& [tensors, numbers] : updates) {
    const auto& state = state_in<Moment>(tensors);
    all.push_back(
        {.parameter = tensors.value,
         .moment1 = state[0],
         .moment2 = state[1],
         .gradient = tensors.gradient,
         .rule = {.learning_rate = static_cast<float>(numbers.learning_rate),
                  .beta1 = static_cast<float>(settings_.beta1),
                  .beta2 = static_cast<float>(settings_.beta2),
                  .epsilon = static_cast<float>(settings_.epsilon),
                  .weight_decay = static_cast<float>(numbers.weight_decay),
                  .in_gradient = decay_ == Decay::kInGradient,
                  .step = numbers.count,
                  .squares_step = numbers.squares_count,
                  .gradient_scale = static_cast<float>(numbers.gradient_scale)},
         .rounding = {.key = numbers.rounding_key, .first_element = tensors.first_element}});
  }
  adamw_update(exec, all);
}

void AdamRule::update(const Exec& exec, const Communicator&,
                      const std::vector<ParameterUpdate>& updates) const {
  rounds_state() ? update_in<bf16>(exec, updates) : update_in<float>(exec, updates);
}

std::vector<StateSpec> LionRule::state_of(const Parameter&) const { return {{"momentum"}}; }

void LionRule::update(const Exec& exec, const Communicator&,
                      const std::vector<ParameterUpdate>& updates) const {
  std::vector<LionUpdate> all;
  for (const auto& [tensors, numbers] : updates) {
    all.push_back({.parameter = tensors.value,
                   .momentum = tensors.state[0],
                   .gradient = tensors.gradient,
                   .rule = {.learning_rate = static_cast<float>(numbers.learning_rate),
                            .beta1 = static_cast<float>(settings_.beta1),
                            .beta2 = static_cast<float>(settings_.beta2),
                            .weight_decay = static_cast<float>(numbers.weight_decay),
                            .gradient_scale = static_cast<float>(numbers.gradient_scale)}});
  }
  lion_update(exec, all);
}

}  // namespace polyphase
