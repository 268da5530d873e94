// SPDX-License-Identifier: Apache-2.0
#include "model/linear.hpp"

#include <type_traits>

#include "kernels/elementwise.hpp"

namespace polyphase {

Linear::Linear(ParameterSet& parameters, const Communicator& tensor,
               const std::vector<std::string>& names, const LinearShape& shape)
    : parameters_(parameters), shape_(shape), num_joined_(names.size()) {
  const Split out = split_evenly(shape.out, tensor.rank(), tensor.size());
  const Split in = split_evenly(shape.in, tensor.rank(), tensor.size());
  const bool split_out = shape.split == LinearSplit::kOutput,
             split_in = shape.split == LinearSplit::kInput;
  local_in_ = split_in ? in.size : shape.in;
  local_out_ = static_cast<std::int64_t>(num_joined_) * (split_out ? out.size : shape.out);
  for (const std::string& name : names) {
    const std::size_t number =
        parameters.declare({.name = name + ".weight",
                            .global_shape = {shape.out, shape.in},
                            .split_dimension = split_out ? 0 : (split_in ? 1 : -1),
                            .split = split_out ? out : in,
                            .joins_previous = name != names.front()});
    if (name == names.front()) weight_ = number;
  }
  for (const std::string& name : names) {
    const std::size_t number = parameters.declare({.name = name + ".bias",
                                                   .global_shape = {shape.out},
                                                   .split_dimension = split_out ? 0 : -1,
                                                   .split = out,
                                                   .initial = Initial::kZero,
                                                   .decays = false,
                                                   .joins_previous = name != names.front()});
    if (name == names.front()) bias_ = number;
  }
}

template <class In, class Out>
void Linear::forward(const Pass& pass, Tensor2<Out> y_NO, Tensor2<const In> x_NI) const {
  const ArenaScope scope(*pass.exec.arena);
  const Tensor2<const In> weight =
      in_precision<In>(pass.exec, parameters_.value2(weight_, num_joined_));
  const Tensor1<const float> no_bias;
  matmul<In, Out>(pass.exec, y_NO, x_NI, Transpose::kNo, weight, Transpose::kYes, Write::kOverwrite,
                  shape_.split == LinearSplit::kInput ? no_bias : bias());
}

template <class In, class Out>
void Linear::backward_input(const Pass& pass, Tensor2<Out> dx_NI, Tensor2<const In> dy_NO) const {
  const ArenaScope scope(*pass.exec.arena);
  const Tensor2<const In> weight =
      in_precision<In>(pass.exec, parameters_.value2(weight_, num_joined_));
  matmul<In, Out>(pass.exec, dx_NI, dy_NO, Transpose::kNo, weight, Transpose::kNo);
}

template <class In>
void Linear::backward_weight(const Pass& pass, Tensor2<const In> dy_NO,
                             Tensor2<const In> x_NI) const {
  const Write write = parameters_.gradient_write(weight_, num_joined_);
  matmul<In, float>(pass.exec, parameters_.gradient2(weight_, num_joined_), dy_NO, Transpose::kYes,
                    x_NI, Transpose::kNo, write);
}

template <class Real>
Tensor2<const Real> in_precision(const Exec& exec, Tensor2<const float> weight) {
  if constexpr (std::is_same_v<Real, float>) {
    return weight;
  } else {
    const auto copy = exec.arena->take2<Real>(static_cast<std::int64_t>(weight.extent(0)),
                                              static_cast<std::int64_t>(weight.extent(1)));
    convert<Real, float>(exec, flat(copy), flat(weight));
    return copy;
  }
}

template Tensor2<const float> in_precision<float>(const Exec&, Tensor2<const float>);
template Tensor2<const bf16> in_precision<bf16>(const Exec&, Tensor2<const float>);
template void Linear::forward(const Pass&, Tensor2<float>, Tensor2<const float>) const;
template void Linear::forward(const Pass&, Tensor2<float>, Tensor2<const bf16>) const;
template void Linear::forward(const Pass&, Tensor2<bf16>, Tensor2<const bf16>) const;
template void Linear::backward_input(const Pass&, Tensor2<float>, Tensor2<const float>) const;
template void Linear::backward_input(const Pass&, Tensor2<float>, Tensor2<const bf16>) const;
template void Linear::backward_input(const Pass&, Tensor2<bf16>, Tensor2<const bf16>) const;
template void Linear::backward_weight(const Pass&, Tensor2<const float>,
                                      Tensor2<const float>) const;
template void Linear::backward_weight(const Pass&, Tensor2<const bf16>, Tensor2<const bf16>) const;

}  // namespace polyphase
