// SPDX-License-Identifier: Apache-2.0
#include "kernels/adamw.hpp"

#include <cmath>
#include <type_traits>

#include "kernels/for_rows.hpp"
#include "kernels/math.hpp"
#include "kernels/work.hpp"

namespace polyphase {
namespace {

// The scalars of a step, made in float64, as PyTorch makes them.
struct Scalars {
  float new_share1, beta2, new_share2, root_of_correction2, epsilon, gradient_scale;
  double correction1;

  explicit Scalars(const AdamW& rule)
      : new_share1(static_cast<float>(1.0 - static_cast<double>(rule.beta1))),
        beta2(rule.beta2),
        new_share2(static_cast<float>(1.0 - static_cast<double>(rule.beta2))),
        root_of_correction2(static_cast<float>(
            std::sqrt(1.0 - std::pow(static_cast<double>(rule.beta2), double(rule.squares_step))))),
        epsilon(rule.epsilon),
        gradient_scale(rule.gradient_scale),
        correction1(1.0 - std::pow(static_cast<double>(rule.beta1), double(rule.step))) {}
};

// Both moments' random bits, 16 each, from one well mixed word (Wellons, 2018, "Prospecting for
// hash functions": lowbias32), which costs less than the memory's traffic; Philox would not.
KOKKOS_INLINE_FUNCTION std::uint32_t random_bits(std::uint64_t key, std::int64_t element) {
  std::uint32_t x = static_cast<std::uint32_t>(element) ^ static_cast<std::uint32_t>(key);
  x = (x ^ (x >> 16)) * 0x7FEB352DU + static_cast<std::uint32_t>(key >> 32);
  x = (x ^ (x >> 15)) * 0x846CA68BU;
  return x ^ (x >> 16);
}

// A number that is not finite stays what it is.
template <class Moment>
KOKKOS_INLINE_FUNCTION Moment round_randomly(float x, std::uint32_t sixteen_bits) {
  if constexpr (std::is_same_v<Moment, float>) {
    return x;
  } else {
    std::uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const bool is_finite = (bits & 0x7F800000U) != 0x7F800000U;
    const std::uint32_t rounded = (bits + sixteen_bits) >> 16;
    return is_finite ? Moment{static_cast<std::uint16_t>(rounded)} : from_float<Moment>(x);
  }
}

template <class Moment>
void require_equal_extents(Tensor1<const float> parameter, Tensor1<const Moment> moment1,
                           Tensor1<const Moment> moment2, Tensor1<const float> gradient) {
  POLYPHASE_PROMISE(parameter.extent(0) == gradient.extent(0) &&
                        moment1.extent(0) == gradient.extent(0) &&
                        moment2.extent(0) == gradient.extent(0),
                    "AdamW got tensors of different extents: {} parameters, {} gradients",
                    parameter.extent(0), gradient.extent(0));
}

template <bool kInGradient, class Moment>
void update(const Exec& exec, Tensor1<float> parameter, Tensor1<Moment> moment1,
            Tensor1<Moment> moment2, Tensor1<const float> gradient, const AdamW& rule,
            const RandomRounding& rounding) {
  const Scalars scalars(rule);
  const float shrink = static_cast<float>(1.0 - static_cast<double>(rule.learning_rate) *
                                                    static_cast<double>(rule.weight_decay));
  const float rate =
      static_cast<float>(static_cast<double>(rule.learning_rate) / scalars.correction1);
  const float root_of_correction2 = scalars.root_of_correction2, penalty = rule.weight_decay;
  const float beta2 = rule.beta2, epsilon = rule.epsilon, gradient_scale = rule.gradient_scale;
  const float new_share1 = scalars.new_share1, new_share2 = scalars.new_share2;
  const std::uint64_t key = rounding.key;
  const std::int64_t first_element = rounding.first_element;
  for_elements(
      exec, parameter.extent(0), KOKKOS_LAMBDA(std::int64_t i) {
        float g = gradient.data()[i] * gradient_scale;
        if (kInGradient) g += penalty * parameter.data()[i];
        const float old_m = to_float(moment1.data()[i]), old_v = to_float(moment2.data()[i]);
        const float m = old_m + new_share1 * (g - old_m);
        const float v = beta2 * old_v + new_share2 * g * g;
        const float denominator = math::sqrt(v) / root_of_correction2 + epsilon;
        const std::uint32_t random = random_bits(key, first_element + i);
        moment1.data()[i] = round_randomly<Moment>(m, random & 0xFFFFU);
        moment2.data()[i] = round_randomly<Moment>(v, random >> 16);
        const float kept = kInGradient ? parameter.data()[i] : parameter.data()[i] * shrink;
        parameter.data()[i] = kept - rate * (m / denominator);
      });
}

}  // namespace

template <class Moment>
void adamw_update(const Exec& exec, Tensor1<float> parameter, Tensor1<Moment> moment1,
                  Tensor1<Moment> moment2, Tensor1<const float> gradient, const AdamW& rule,
                  const RandomRounding& rounding) {
  const KernelRegion region("adamw_update");
  note_moved(exec, parameter, parameter, moment1, moment1, moment2, moment2, gradient);
  require_equal_extents<Moment>(parameter, moment1, moment2, gradient);
  (rule.in_gradient ? update<true, Moment> : update<false, Moment>)(exec, parameter, moment1,
                                                                    moment2, gradient, rule,
                                                                    rounding);
}

template void adamw_update<float>(const Exec&, Tensor1<float>, Tensor1<float>, Tensor1<float>,
                                  Tensor1<const float>, const AdamW&, const RandomRounding&);
template void adamw_update<bf16>(const Exec&, Tensor1<float>, Tensor1<bf16>, Tensor1<bf16>,
                                 Tensor1<const float>, const AdamW&, const RandomRounding&);

void lamb_direction(const Exec& exec, Tensor1<float> direction, Tensor1<float> moment1,
                    Tensor1<float> moment2, Tensor1<const float> parameter,
                    Tensor1<const float> gradient, const AdamW& rule) {
  const KernelRegion region("lamb_direction");
  note_moved(exec, direction, moment1, moment1, moment2, moment2, parameter, gradient);
  require_equal_extents<float>(parameter, moment1, moment2, gradient);
  const Scalars scalars(rule);
  const float factor = static_cast<float>(1.0 / scalars.correction1);
  const float decay = rule.weight_decay;
  for_elements(
      exec, parameter.extent(0), KOKKOS_LAMBDA(std::int64_t i) {
        const float g = gradient.data()[i] * scalars.gradient_scale;
        const float m = moment1.data()[i] + scalars.new_share1 * (g - moment1.data()[i]);
        const float v = scalars.beta2 * moment2.data()[i] + scalars.new_share2 * g * g;
        const float denominator = math::sqrt(v) / scalars.root_of_correction2 + scalars.epsilon;
        moment1.data()[i] = m;
        moment2.data()[i] = v;
        direction.data()[i] = factor * (m / denominator) + decay * parameter.data()[i];
      });
}

}  // namespace polyphase
