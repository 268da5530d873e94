// SPDX-License-Identifier: Apache-2.0
#include "kernels/momentum.hpp"

#include "kernels/for_items.hpp"
#include "kernels/work.hpp"

namespace polyphase {
namespace {

float one_minus(float share) { return static_cast<float>(1.0 - static_cast<double>(share)); }

// Updates as their elements see them.
struct SgdItem {
  float *parameter, *velocity;
  const float* gradient;
  std::int64_t count;
  float rate, penalty, gradient_scale, momentum, of_gradient, of_velocity;
};

SgdItem item_of(const SgdUpdate& update) {
  const Sgd& rule = update.rule;
  return {.parameter = update.parameter.data(),
          .velocity = update.velocity.data(),
          .gradient = update.gradient.data(),
          .count = static_cast<std::int64_t>(update.parameter.extent(0)),
          .rate = rule.learning_rate,
          .penalty = rule.weight_decay,
          .gradient_scale = rule.gradient_scale,
          .momentum = rule.momentum,
          .of_gradient = rule.nesterov ? 1.0F : 0.0F,
          .of_velocity = rule.nesterov ? rule.momentum : 1.0F};
}

struct LionItem {
  float *parameter, *momentum;
  const float* gradient;
  std::int64_t count;
  float shrink, rate, gradient_scale, beta1, new_share1, new_share2;
};

LionItem item_of(const LionUpdate& update) {
  const Lion& rule = update.rule;
  return {.parameter = update.parameter.data(),
          .momentum = update.momentum.data(),
          .gradient = update.gradient.data(),
          .count = static_cast<std::int64_t>(update.parameter.extent(0)),
          .shrink = static_cast<float>(1.0 - static_cast<double>(rule.learning_rate) *
                                                 static_cast<double>(rule.weight_decay)),
          .rate = rule.learning_rate,
          .gradient_scale = rule.gradient_scale,
          .beta1 = rule.beta1,
          .new_share1 = one_minus(rule.beta1),
          .new_share2 = one_minus(rule.beta2)};
}

}  // namespace

void sgd_update(const Exec& exec, const std::vector<SgdUpdate>& updates) {
  const KernelRegion region("sgd_update");
  std::vector<SgdItem> items;
  for (const SgdUpdate& one : updates) {
    note_moved(exec, one.parameter, one.parameter, one.velocity, one.velocity, one.gradient);
    items.push_back(item_of(one));
    POLYPHASE_PROMISE((items.back().momentum == 0.0F) == (items.front().momentum == 0.0F),
                      "some parameters alone have a momentum");
  }
  if (items.empty()) return;
  const auto count = [](const SgdItem& item) { return item.count; };
  if (items.front().momentum == 0.0F) {
    for_elements_of_all(
        exec, items, count, KOKKOS_LAMBDA(const SgdItem& of, std::int64_t i) {
          const float p = of.parameter[i];
          of.parameter[i] = p - of.rate * (of.gradient[i] * of.gradient_scale + of.penalty * p);
        });
    return;
  }
  for_elements_of_all(
      exec, items, count, KOKKOS_LAMBDA(const SgdItem& of, std::int64_t i) {
        const float p = of.parameter[i];
        const float g = of.gradient[i] * of.gradient_scale + of.penalty * p;
        const float v = of.momentum * of.velocity[i] + g;
        of.velocity[i] = v;
        of.parameter[i] = p - of.rate * (of.of_gradient * g + of.of_velocity * v);
      });
}

void lion_update(const Exec& exec, const std::vector<LionUpdate>& updates) {
  const KernelRegion region("lion_update");
  std::vector<LionItem> items;
  for (const LionUpdate& one : updates) {
    note_moved(exec, one.parameter, one.parameter, one.momentum, one.momentum, one.gradient);
    items.push_back(item_of(one));
  }
  for_elements_of_all(
      exec, items, [](const LionItem& item) { return item.count; },
      KOKKOS_LAMBDA(const LionItem& of, std::int64_t i) {
        const float g = of.gradient[i] * of.gradient_scale, m = of.momentum[i];
        const float mixed = of.beta1 * m + of.new_share1 * g;
        // NaN has no sign: it goes on, so that it is seen.
        const float sign = mixed > 0.0F ? 1.0F : (mixed < 0.0F ? -1.0F : mixed);
        of.momentum[i] = m + of.new_share2 * (g - m);
        of.parameter[i] = of.parameter[i] * of.shrink - of.rate * sign;
      });
}

void averaged_direction(const Exec& exec, Tensor1<float> direction, Tensor1<float> average,
                        Tensor1<const float> gradient, float gradient_scale, float momentum,
                        bool nesterov) {
  const KernelRegion region("averaged_direction");
  note_moved(exec, direction, average, average, gradient);
  const float new_share = one_minus(momentum);
  const float of_gradient = nesterov ? new_share : 0.0F, of_average = nesterov ? momentum : 1.0F;
  for_elements(
      exec, average.extent(0), KOKKOS_LAMBDA(std::int64_t i) {
        const float g = gradient.data()[i] * gradient_scale;
        const float mean = average.data()[i] + new_share * (g - average.data()[i]);
        average.data()[i] = mean;
        direction.data()[i] = of_gradient * g + of_average * mean;
      });
}

}  // namespace polyphase
