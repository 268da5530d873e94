// SPDX-License-Identifier: Apache-2.0
#include "kernels/adamw.hpp"

#include <cmath>
#include <type_traits>

#include "kernels/for_items.hpp"
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

// An update as its elements see it.
template <class Moment>
struct Item {
  float* parameter;
  Moment *moment1, *moment2;
  const float* gradient;
  std::int64_t count;
  float shrink, rate, root_of_correction2, penalty, beta2, epsilon, gradient_scale;
  float new_share1, new_share2;
  std::uint64_t key;
  std::int64_t first_element;
};

template <class Moment>
Item<Moment> item_of(const AdamWUpdate<Moment>& update) {
  const AdamW& rule = update.rule;
  const Scalars scalars(rule);
  return {.parameter = update.parameter.data(),
          .moment1 = update.moment1.data(),
          .moment2 = update.moment2.data(),
          .gradient = update.gradient.data(),
          .count = static_cast<std::int64_t>(update.parameter.extent(0)),
          .shrink = static_cast<float>(1.0 - static_cast<double>(rule.learning_rate) *
                                                 static_cast<double>(rule.weight_decay)),
          .rate = static_cast<float>(static_cast<double>(rule.learning_rate) / scalars.correction1),
          .root_of_correction2 = scalars.root_of_correction2,
          .penalty = rule.weight_decay,
          .beta2 = rule.beta2,
          .epsilon = rule.epsilon,
          .gradient_scale = rule.gradient_scale,
          .new_share1 = scalars.new_share1,
          .new_share2 = scalars.new_share2,
          .key = update.rounding.key,
          .first_element = update.rounding.first_element};
}

template <bool kInGradient, class Moment>
void update(const Exec& exec, const std::vector<Item<Moment>>& items) {
  for_elements_of_all(
      exec, items, [](const Item<Moment>& item) { return item.count; },
      KOKKOS_LAMBDA(const Item<Moment>& of, std::int64_t i) {
        float g = of.gradient[i] * of.gradient_scale;
        if (kInGradient) g += of.penalty * of.parameter[i];
        const float old_m = to_float(of.moment1[i]), old_v = to_float(of.moment2[i]);
        const float m = old_m + of.new_share1 * (g - old_m);
        const float v = of.beta2 * old_v + of.new_share2 * g * g;
        const float denominator = math::sqrt(v) / of.root_of_correction2 + of.epsilon;
        const std::uint32_t random = random_bits(of.key, of.first_element + i);
        of.moment1[i] = round_randomly<Moment>(m, random & 0xFFFFU);
        of.moment2[i] = round_randomly<Moment>(v, random >> 16);
        const float kept = kInGradient ? of.parameter[i] : of.parameter[i] * of.shrink;
        of.parameter[i] = kept - of.rate * (m / denominator);
      });
}

}  // namespace

template <class Moment>
void adamw_update(const Exec& exec, const std::vector<AdamWUpdate<Moment>>& updates) {
  const KernelRegion region("adamw_update");
  std::vector<Item<Moment>> items;
  for (const AdamWUpdate<Moment>& one : updates) {
    note_moved(exec, one.parameter, one.parameter, one.moment1, one.moment1, one.moment2,
               one.moment2, one.gradient);
    require_equal_extents<Moment>(one.parameter, one.moment1, one.moment2, one.gradient);
    POLYPHASE_PROMISE(one.rule.in_gradient == updates.front().rule.in_gradient,
                      "weight decay goes into some of the gradients alone");
    items.push_back(item_of(one));
  }
  if (items.empty()) return;
  updates.front().rule.in_gradient ? update<true>(exec, items) : update<false>(exec, items);
}

template void adamw_update<float>(const Exec&, const std::vector<AdamWUpdate<float>>&);
template void adamw_update<bf16>(const Exec&, const std::vector<AdamWUpdate<bf16>>&);

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
