// SPDX-License-Identifier: Apache-2.0
#include "kernels/adamw.hpp"

#include <cmath>

#include "kernels/for_rows.hpp"
#include "kernels/math.hpp"

namespace polyphase {

void adamw_update(const Exec& exec, Tensor1<float> parameter, Tensor1<float> moment1,
                  Tensor1<float> moment2, Tensor1<const float> gradient, const AdamW& rule) {
  const KernelRegion region("adamw_update");
  POLYPHASE_PROMISE(parameter.extent(0) == gradient.extent(0) &&
                        moment1.extent(0) == gradient.extent(0) &&
                        moment2.extent(0) == gradient.extent(0),
                    "AdamW got tensors of different extents: {} parameters, {} gradients",
                    parameter.extent(0), gradient.extent(0));
  // Scalars are made in float64, as PyTorch makes them.
  const double step = static_cast<double>(rule.step);
  const double correction1 = 1.0 - std::pow(static_cast<double>(rule.beta1), step);
  const double correction2 = 1.0 - std::pow(static_cast<double>(rule.beta2), step);
  const float shrink = static_cast<float>(1.0 - static_cast<double>(rule.learning_rate) *
                                                    static_cast<double>(rule.weight_decay));
  const float rate = static_cast<float>(static_cast<double>(rule.learning_rate) / correction1);
  const float root_of_correction2 = static_cast<float>(std::sqrt(correction2));
  const float beta2 = rule.beta2, epsilon = rule.epsilon, gradient_scale = rule.gradient_scale;
  const float new_share1 = static_cast<float>(1.0 - static_cast<double>(rule.beta1));
  const float new_share2 = static_cast<float>(1.0 - static_cast<double>(rule.beta2));
  for_elements(
      exec, parameter.extent(0), KOKKOS_LAMBDA(std::int64_t i) {
        const float g = gradient.data()[i] * gradient_scale;
        const float m = moment1.data()[i] + new_share1 * (g - moment1.data()[i]);
        const float v = beta2 * moment2.data()[i] + new_share2 * g * g;
        const float denominator = math::sqrt(v) / root_of_correction2 + epsilon;
        moment1.data()[i] = m;
        moment2.data()[i] = v;
        parameter.data()[i] = parameter.data()[i] * shrink - rate * (m / denominator);
      });
}

}  // namespace polyphase
