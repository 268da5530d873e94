// SPDX-License-Identifier: Apache-2.0
#include "model/linear.hpp"

#include <type_traits>

#include "kernels/elementwise.hpp"

namespace polyphase {

Linear::Linear(ParameterSet& parameters, const Communicator& tensor,
               const std::vector<LinearOutput>& outputs, const LinearShape& shape)
    : parameters_(parameters), shape_(shape), num_joined_(outputs.size()) {
  const Split in = split_evenly(shape.in, tensor.rank(), tensor.size());
  const bool split_out = shape.split == LinearSplit::kOutput,
             split_in = shape.split == LinearSplit::kInput;
  local_in_ = split_in ? in.size : shape.in;
  for (const LinearOutput& output : outputs) {
    const Split out = split_evenly(output.size, tensor.rank(), tensor.size());
    const std::size_t number =
        parameters.declare({.name = output.name + ".weight",
                            .global_shape = {output.size, shape.in},
                            .split_dimension = split_out ? 0 : (split_in ? 1 : -1),
                            .split = split_out ? out : in,
                            .deviation = shape.deviation,
                            .joins_previous = &output != &outputs.front()});
    if (&output == &outputs.front()) weight_ = number;
    first_columns_.push_back(local_out_);
    local_out_ += split_out ? out.size : output.size;
  }
  if (!shape.has_bias) return;
  for (const LinearOutput& output : outputs) {
    const std::size_t number =
        parameters.declare({.name = output.name + ".bias",
                            .global_shape = {output.size},
                            .split_dimension = split_out ? 0 : -1,
                            .split = split_evenly(output.size, tensor.rank(), tensor.size()),
                            .initial = Initial::kZero,
                            .decays = false,
                            .joins_previous = &output != &outputs.front()});
    if (&output == &outputs.front()) bias_ = number;
  }
}

Tensor1<const float> Linear::bias() const {
  return shape_.has_bias ? parameters_.value_span1(bias_, num_joined_) : Tensor1<const float>();
}

Tensor1<float> Linear::bias_gradient() const {
  return shape_.has_bias ? parameters_.gradient1(bias_, num_joined_) : Tensor1<float>();
}

Write Linear::bias_write() const {
  return shape_.has_bias ? parameters_.gradient_write(bias_, num_joined_) : Write::kOverwrite;
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
void Linear::backward_input(const Pass& pass, Tensor2<Out> dx_NI, Tensor2<const In> dy_NO,
                            Write write) const {
  const ArenaScope scope(*pass.exec.arena);
  const Tensor2<const In> weight =
      in_precision<In>(pass.exec, parameters_.value2(weight_, num_joined_));
  matmul<In, Out>(pass.exec, dx_NI, dy_NO, Transpose::kNo, weight, Transpose::kNo, write);
}

template <class In>
void Linear::backward_weight(const Pass& pass, Tensor2<const In> dy_NO,
                             Tensor2<const In> x_NI) const {
  const Write write = parameters_.gradient_write(weight_, num_joined_);
  matmul<In, float>(pass.exec, parameters_.gradient2(weight_, num_joined_), dy_NO, Transpose::kYes,
                    x_NI, Transpose::kNo, write);
}

template <class In>
void Linear::backward_bias(const Pass& pass, Tensor2<const In> dy_NO) const {
  if (shape_.has_bias) column_sum<In>(pass.exec, bias_gradient(), bias_write(), dy_NO);
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
template void Linear::backward_input(const Pass&, Tensor2<float>, Tensor2<const float>,
                                     Write) const;
template void Linear::backward_input(const Pass&, Tensor2<float>, Tensor2<const bf16>, Write) const;
template void Linear::backward_input(const Pass&, Tensor2<bf16>, Tensor2<const bf16>, Write) const;
template void Linear::backward_weight(const Pass&, Tensor2<const float>,
                                      Tensor2<const float>) const;
template void Linear::backward_weight(const Pass&, Tensor2<const bf16>, Tensor2<const bf16>) const;
template void Linear::backward_bias(const Pass&, Tensor2<const float>) const;
template void Linear::backward_bias(const Pass&, Tensor2<const bf16>) const;

}  // namespace polyphase
