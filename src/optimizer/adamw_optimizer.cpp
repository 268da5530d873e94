// SPDX-License-Identifier: Apache-2.0
#include "optimizer/adamw_optimizer.hpp"

#include "kernels/adamw.hpp"

namespace polyphase {

AdamWOptimizer::AdamWOptimizer(const ParameterSet& parameters, const recipe::Optimizer& settings)
    : settings_(settings),
      moment1_("moment1", parameters.total_count()),
      moment2_("moment2", parameters.total_count()) {}

void AdamWOptimizer::update(const Exec& exec, ParameterSet& parameters,
                            Tensor1<const float> gradients, double learning_rate,
                            double gradient_scale, std::int64_t step) {
  AdamW rule = {.learning_rate = static_cast<float>(learning_rate),
                .beta1 = static_cast<float>(settings_.beta1),
                .beta2 = static_cast<float>(settings_.beta2),
                .epsilon = static_cast<float>(settings_.epsilon),
                .step = step,
                .gradient_scale = static_cast<float>(gradient_scale)};
  for (const Parameter& parameter : parameters.all()) {
    const auto part = [&](auto* base) {
      return Tensor1<std::remove_pointer_t<decltype(base)>>(base + parameter.offset,
                                                            parameter.count);
    };
    rule.weight_decay = parameter.spec.decays ? static_cast<float>(settings_.weight_decay) : 0.0F;
    adamw_update(exec, part(parameters.values().data()), part(moment1_.data()),
                 part(moment2_.data()), part(gradients.data()), rule);
  }
}

std::vector<AdamWOptimizer::State> AdamWOptimizer::state() const {
  return {{"moment1", Tensor1<float>(moment1_.data(), moment1_.size())},
          {"moment2", Tensor1<float>(moment2_.data(), moment2_.size())}};
}

}  // namespace polyphase
