// SPDX-License-Identifier: Apache-2.0
#include "kernels/momentum.hpp"

#include "kernels/for_rows.hpp"
#include "kernels/work.hpp"

namespace polyphase {
namespace {

float one_minus(float share) { return static_cast<float>(1.0 - static_cast<double>(share)); }

}  // namespace

void sgd_update(const Exec& exec, Tensor1<float> parameter, Tensor1<float> velocity,
                Tensor1<const float> gradient, const Sgd& rule) {
  const KernelRegion region("sgd_update");
  note_moved(exec, parameter, parameter, velocity, velocity, gradient);
  const float rate = rule.learning_rate, penalty = rule.weight_decay,
              gradient_scale = rule.gradient_scale, momentum = rule.momentum;
  const float of_gradient = rule.nesterov ? 1.0F : 0.0F;
  const float of_velocity = rule.nesterov ? momentum : 1.0F;
  if (momentum == 0.0F) {
    for_elements(
        exec, parameter.extent(0), KOKKOS_LAMBDA(std::int64_t i) {
          const float p = parameter.data()[i];
          parameter.data()[i] = p - rate * (gradient.data()[i] * gradient_scale + penalty * p);
        });
    return;
  }
  for_elements(
      exec, parameter.extent(0), KOKKOS_LAMBDA(std::int64_t i) {
        const float p = parameter.data()[i];
        const float g = gradient.data()[i] * gradient_scale + penalty * p;
        const float v = momentum * velocity.data()[i] + g;
        velocity.data()[i] = v;
        parameter.data()[i] = p - rate * (of_gradient * g + of_velocity * v);
      });
}

void lion_update(const Exec& exec, Tensor1<float> parameter, Tensor1<float> momentum,
                 Tensor1<const float> gradient, const Lion& rule) {
  const KernelRegion region("lion_update");
  note_moved(exec, parameter, parameter, momentum, momentum, gradient);
  const float shrink = static_cast<float>(1.0 - static_cast<double>(rule.learning_rate) *
                                                    static_cast<double>(rule.weight_decay));
  const float rate = rule.learning_rate, gradient_scale = rule.gradient_scale;
  const float beta1 = rule.beta1, new_share1 = one_minus(rule.beta1);
  const float new_share2 = one_minus(rule.beta2);
  for_elements(
      exec, parameter.extent(0), KOKKOS_LAMBDA(std::int64_t i) {
        const float g = gradient.data()[i] * gradient_scale, m = momentum.data()[i];
        const float mixed = beta1 * m + new_share1 * g;
        // NaN has no sign: it goes on, so that it is seen.
        const float sign = mixed > 0.0F ? 1.0F : (mixed < 0.0F ? -1.0F : mixed);
        momentum.data()[i] = m + new_share2 * (g - m);
        parameter.data()[i] = parameter.data()[i] * shrink - rate * sign;
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
