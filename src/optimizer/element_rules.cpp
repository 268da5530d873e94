// SPDX-License-Identifier: Apache-2.0
#include "optimizer/element_rules.hpp"

#include "kernels/adamw.hpp"
#include "kernels/momentum.hpp"

namespace polyphase {

std::vector<StateSpec> SgdRule::state_of(const Parameter&) const {
  if (settings_.momentum == 0) return {};
  return {{"velocity"}};
}

void SgdRule::update(const Exec& exec, const Communicator&, const UpdateTensors& tensors,
                     const UpdateNumbers& numbers) const {
  sgd_update(exec, tensors.value, tensors.state.empty() ? Tensor1<float>() : tensors.state[0],
             tensors.gradient,
             {.learning_rate = static_cast<float>(numbers.learning_rate),
              .momentum = static_cast<float>(settings_.momentum),
              .nesterov = settings_.nesterov,
              .weight_decay = static_cast<float>(numbers.weight_decay),
              .gradient_scale = static_cast<float>(numbers.gradient_scale)});
}

std::vector<StateSpec> AdamRule::state_of(const Parameter&) const {
  return {{"moment1"}, {"moment2"}};
}

void AdamRule::update(const Exec& exec, const Communicator&, const UpdateTensors& tensors,
                      const UpdateNumbers& numbers) const {
  const AdamW rule = {.learning_rate = static_cast<float>(numbers.learning_rate),
                      .beta1 = static_cast<float>(settings_.beta1),
                      .beta2 = static_cast<float>(settings_.beta2),
                      .epsilon = static_cast<float>(settings_.epsilon),
                      .weight_decay = static_cast<float>(numbers.weight_decay),
                      .in_gradient = decay_ == Decay::kInGradient,
                      .step = numbers.count,
                      .squares_step = numbers.squares_count,
                      .gradient_scale = static_cast<float>(numbers.gradient_scale)};
  if (rounds_state()) {
    adamw_update<bf16>(exec, tensors.value, tensors.rounded_state[0], tensors.rounded_state[1],
                       tensors.gradient, rule,
                       {.key = numbers.rounding_key, .first_element = tensors.first_element});
  } else {
    adamw_update<float>(exec, tensors.value, tensors.state[0], tensors.state[1], tensors.gradient,
                        rule);
  }
}

std::vector<StateSpec> LionRule::state_of(const Parameter&) const { return {{"momentum"}}; }

void LionRule::update(const Exec& exec, const Communicator&, const UpdateTensors& tensors,
                      const UpdateNumbers& numbers) const {
  lion_update(exec, tensors.value, tensors.state[0], tensors.gradient,
              {.learning_rate = static_cast<float>(numbers.learning_rate),
               .beta1 = static_cast<float>(settings_.beta1),
               .beta2 = static_cast<float>(settings_.beta2),
               .weight_decay = static_cast<float>(numbers.weight_decay),
               .gradient_scale = static_cast<float>(numbers.gradient_scale)});
}

}  // namespace polyphase
