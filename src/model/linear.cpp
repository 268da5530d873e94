// SPDX-License-Identifier: Apache-2.0
#include "model/linear.hpp"

#include <cmath>
#include <numeric>
#include <type_traits>

#include "kernels/elementwise.hpp"
#include "kernels/rows.hpp"
#include "model/kept_weights.hpp"

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
  for (const LinearOutput& output : outputs) {
    if (!shape.has_bias) break;
    const std::size_t number =
        parameters.declare({.name = output.name + ".bias",
                            .global_shape = {output.size},
                            .split_dimension = split_out ? 0 : -1,
                            .split = split_evenly(output.size, tensor.rank(), tensor.size()),
                            .initial = Initial::kZero,
                            .decays = false,
                            .joins_previous = &output != &outputs.front(),
                            .sums_own_rows = split_in});
    if (&output == &outputs.front()) bias_ = number;
  }
  if (parameters.adapters().rank > 0) declare_adapters(tensor, outputs);
}

// b begins at zero, so that the product begins as it was; a keeps the size of what it multiplies.
void Linear::declare_adapters(const Communicator& tensor,
                              const std::vector<LinearOutput>& outputs) {
  const Adapters& adapters = parameters_.adapters();
  adapter_scale_ = adapters.scale;
  const bool split_out = shape_.split == LinearSplit::kOutput,
             split_in = shape_.split == LinearSplit::kInput;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const std::string name = outputs[i].name + ".weight";
    if (!adapters.match(name)) continue;
    Adapter adapter = {.first_row = first_columns_[i],
                       .num_rows = parameters_.at(weight_ + i).local_shape[0]};
    adapter.a = parameters_.declare({.name = adapter_a(name),
                                     .global_shape = {adapters.rank, shape_.in},
                                     .split_dimension = split_in ? 1 : -1,
                                     .split = split_evenly(shape_.in, tensor.rank(), tensor.size()),
                                     .deviation = 1.0 / std::sqrt(static_cast<double>(shape_.in))});
    adapter.b =
        parameters_.declare({.name = adapter_b(name),
                             .global_shape = {outputs[i].size, adapters.rank},
                             .split_dimension = split_out ? 0 : -1,
                             .split = split_evenly(outputs[i].size, tensor.rank(), tensor.size()),
                             .initial = Initial::kZero});
    adapters_.push_back(adapter);
  }
}

template <class In>
Tensor2<const In> Linear::weight(const Pass& pass) const {
  if (adapters_.empty()) {
    if constexpr (std::is_same_v<In, bf16>) {
      if (parameters_.has_rounded(weight_)) return parameters_.rounded2(weight_, num_joined_);
    }
    return in_precision<In>(pass, weight_, parameters_.value2(weight_, num_joined_));
  }
  if (pass.kept_weights == nullptr) return in_precision<In>(pass.exec, adapted_weight(pass.exec));
  return pass.kept_weights->get<In>(
      pass.exec, weight_, local_out_, local_in_, [&](Tensor2<In> kept_OI) {
        const ArenaScope scope(*pass.exec.arena);
        convert<In, float>(pass.exec, flat(kept_OI), flat(adapted_weight(pass.exec)));
      });
}

Tensor2<const float> Linear::adapted_weight(const Exec& exec) const {
  const Tensor2<const float> stored_OI = parameters_.value2(weight_, num_joined_);
  const auto sum_OI = exec.arena->take2<float>(local_out_, local_in_);
  convert<float, float>(exec, flat(sum_OI), flat(stored_OI));
  for (const Adapter& adapter : adapters_) {
    const ArenaScope scope(*exec.arena);
    const Tensor2<const float> b_OR = parameters_.value2(adapter.b);
    const auto scaled_OR =
        exec.arena->take2<float>(adapter.num_rows, static_cast<std::int64_t>(b_OR.extent(1)));
    convert<float, float>(exec, flat(scaled_OR), flat(b_OR));
    scale<float>(exec, flat(scaled_OR), static_cast<float>(adapter_scale_));
    matmul<float, float>(exec, rows(sum_OI, adapter.first_row, adapter.num_rows), scaled_OR,
                         Transpose::kNo, parameters_.value2(adapter.a), Transpose::kNo,
                         Write::kAccumulate);
  }
  return sum_OI;
}

Tensor1<const float> Linear::bias() const {
  return shape_.has_bias ? parameters_.value_span1(bias_, num_joined_) : Tensor1<const float>();
}

Tensor1<const bf16> Linear::rounded_bias() const {
  return shape_.has_bias && parameters_.has_rounded(bias_)
             ? parameters_.rounded_span1(bias_, num_joined_)
             : Tensor1<const bf16>();
}

BiasGradient Linear::bias_gradient() const {
  if (!shape_.has_bias) return {};
  if (!parameters_.any_trained(bias_, num_joined_)) {
    parameters_.skip_gradients(bias_, num_joined_);
    return {};
  }
  const Write write = parameters_.gradient_write(bias_, num_joined_);
  return {.sum_N = parameters_.gradient1(bias_, num_joined_), .write = write};
}

template <class In, class Out>
void Linear::forward(const Pass& pass, Tensor2<Out> y_NO, Tensor2<const In> x_NI) const {
  const ArenaScope scope(*pass.exec.arena);
  const bool adds_bias = shape_.split != LinearSplit::kInput;
  matmul<In, Out>(pass.exec, y_NO, x_NI, Transpose::kNo, weight<In>(pass), Transpose::kYes,
                  Write::kOverwrite, adds_bias ? bias() : Tensor1<const float>(),
                  adds_bias ? rounded_bias() : Tensor1<const bf16>());
}

template <class Real>
void Linear::forward_activated(const Pass& pass, Activation kind, Tensor2<Real> y_NO,
                               Tensor2<Real> x_NO, Tensor2<const Real> x_NI) const {
  const ArenaScope scope(*pass.exec.arena);
  matmul_activated<Real>(pass.exec, kind, y_NO, x_NO, x_NI, weight<Real>(pass), bias(),
                         rounded_bias());
}

template <class In, class Out>
void Linear::backward_input(const Pass& pass, Tensor2<Out> dx_NI, Tensor2<const In> dy_NO,
                            Write write) const {
  const ArenaScope scope(*pass.exec.arena);
  matmul<In, Out>(pass.exec, dx_NI, dy_NO, Transpose::kNo, weight<In>(pass), Transpose::kNo, write);
}

template <class Real>
BiasGradient Linear::backward_activated(const Pass& pass, Activation kind, Tensor2<Real> dx_NI,
                                        Tensor2<Real> y_NI, const BiasGradient& dbias,
                                        Tensor2<const Real> dy_NO, Tensor2<const Real> x_NI) const {
  const ArenaScope scope(*pass.exec.arena);
  return matmul_through_activation<Real>(pass.exec, kind, dx_NI, y_NI, dbias, dy_NO,
                                         weight<Real>(pass), x_NI);
}

template <class In>
void Linear::backward_weight(const Pass& pass, Tensor2<const In> dy_NO, Tensor2<const In> x_NI,
                             const BiasGradient& dbias) const {
  Tensor2<float> dweight_OI;
  Write write = Write::kOverwrite;
  if (parameters_.any_trained(weight_, num_joined_)) {
    write = parameters_.gradient_write(weight_, num_joined_);
    dweight_OI = parameters_.gradient2(weight_, num_joined_);
  } else {
    parameters_.skip_gradients(weight_, num_joined_);
  }
  matmul_gradients<In>(pass.exec, dweight_OI, write, dbias, dy_NO, x_NI);
  for (const Adapter& adapter : adapters_) backward_adapter(pass, adapter, dy_NO, x_NI);
}

// With the output's own columns of dy: da = scale · (dy · b)ᵀ · x and db = scale · dyᵀ · (x · aᵀ).
// Of the factor that every tensor-parallel rank holds whole, a rank's part of the weight gives a
// part of the sum.
template <class In>
void Linear::backward_adapter(const Pass& pass, const Adapter& adapter, Tensor2<const In> dy_NO,
                              Tensor2<const In> x_NI) const {
  const Exec& exec = pass.exec;
  Arena& arena = *exec.arena;
  const ArenaScope scope(arena);
  const auto n = static_cast<std::int64_t>(dy_NO.extent(0));
  if (adapter.num_rows != local_out_) {  // products take no columns of a wider tensor
    std::vector<std::int32_t> all(static_cast<std::size_t>(n));
    std::iota(all.begin(), all.end(), 0);
    const auto own_NO = arena.take2<In>(n, adapter.num_rows);
    store_rows<In>(exec, own_NO, upload(exec, all), dy_NO, adapter.first_row);
    dy_NO = own_NO;
  }
  const Tensor2<const In> a_RI = in_precision<In>(exec, parameters_.value2(adapter.a)),
                          b_OR = in_precision<In>(exec, parameters_.value2(adapter.b));
  const auto rank = static_cast<std::int64_t>(a_RI.extent(0));
  const auto inner_NR = arena.take2<In>(n, rank), dinner_NR = arena.take2<In>(n, rank);
  const auto da_RI = arena.take2<float>(rank, local_in_);
  const auto db_OR = arena.take2<float>(adapter.num_rows, rank);
  matmul<In, In>(exec, inner_NR, x_NI, Transpose::kNo, a_RI, Transpose::kYes);
  matmul<In, In>(exec, dinner_NR, dy_NO, Transpose::kNo, b_OR, Transpose::kNo);
  matmul<In, float>(exec, da_RI, dinner_NR, Transpose::kYes, x_NI, Transpose::kNo);
  matmul<In, float>(exec, db_OR, dy_NO, Transpose::kYes, inner_NR, Transpose::kNo);
  if (shape_.split == LinearSplit::kOutput) pass.sum_over_tensor_ranks(da_RI);
  if (shape_.split == LinearSplit::kInput) pass.sum_over_tensor_ranks(db_OR);
  add_gradient(pass, adapter.a, da_RI);
  add_gradient(pass, adapter.b, db_OR);
}

void Linear::add_gradient(const Pass& pass, std::size_t factor, Tensor2<float> gradient) const {
  scale<float>(pass.exec, flat(gradient), static_cast<float>(adapter_scale_));
  const Tensor1<float> sum = parameters_.gradient1(factor);
  if (parameters_.gradient_write(factor) == Write::kOverwrite) fill(pass.exec, sum, 0.0F);
  add(pass.exec, sum, Tensor1<const float>(flat(gradient)));
}

template <class In>
void Linear::backward_weight_and_bias(const Pass& pass, Tensor2<const In> dy_NO,
                                      Tensor2<const In> x_NI) const {
  backward_weight<In>(pass, dy_NO, x_NI, bias_gradient());
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

template <class Real>
Tensor2<const Real> in_precision(const Pass& pass, std::size_t number,
                                 Tensor2<const float> weight) {
  if (std::is_same_v<Real, float> || pass.kept_weights == nullptr)
    return in_precision<Real>(pass.exec, weight);
  return pass.kept_weights->get<Real>(
      pass.exec, number, static_cast<std::int64_t>(weight.extent(0)),
      static_cast<std::int64_t>(weight.extent(1)),
      [&](Tensor2<Real> kept) { convert<Real, float>(pass.exec, flat(kept), flat(weight)); });
}

template Tensor2<const float> in_precision<float>(const Pass&, std::size_t, Tensor2<const float>);
template Tensor2<const bf16> in_precision<bf16>(const Pass&, std::size_t, Tensor2<const float>);
template Tensor2<const float> in_precision<float>(const Exec&, Tensor2<const float>);
template Tensor2<const bf16> in_precision<bf16>(const Exec&, Tensor2<const float>);
template void Linear::forward(const Pass&, Tensor2<float>, Tensor2<const float>) const;
template void Linear::forward(const Pass&, Tensor2<float>, Tensor2<const bf16>) const;
template void Linear::forward(const Pass&, Tensor2<bf16>, Tensor2<const bf16>) const;
template void Linear::forward_activated(const Pass&, Activation, Tensor2<float>, Tensor2<float>,
                                        Tensor2<const float>) const;
template void Linear::forward_activated(const Pass&, Activation, Tensor2<bf16>, Tensor2<bf16>,
                                        Tensor2<const bf16>) const;
template void Linear::backward_input(const Pass&, Tensor2<float>, Tensor2<const float>,
                                     Write) const;
template void Linear::backward_input(const Pass&, Tensor2<float>, Tensor2<const bf16>, Write) const;
template void Linear::backward_input(const Pass&, Tensor2<bf16>, Tensor2<const bf16>, Write) const;
template BiasGradient Linear::backward_activated(const Pass&, Activation, Tensor2<float>,
                                                 Tensor2<float>, const BiasGradient&,
                                                 Tensor2<const float>, Tensor2<const float>) const;
template BiasGradient Linear::backward_activated(const Pass&, Activation, Tensor2<bf16>,
                                                 Tensor2<bf16>, const BiasGradient&,
                                                 Tensor2<const bf16>, Tensor2<const bf16>) const;
template void Linear::backward_weight(const Pass&, Tensor2<const float>, Tensor2<const float>,
                                      const BiasGradient&) const;
template void Linear::backward_weight(const Pass&, Tensor2<const bf16>, Tensor2<const bf16>,
                                      const BiasGradient&) const;
template void Linear::backward_weight_and_bias(const Pass&, Tensor2<const float>,
                                               Tensor2<const float>) const;
template void Linear::backward_weight_and_bias(const Pass&, Tensor2<const bf16>,
                                               Tensor2<const bf16>) const;

}  // namespace polyphase
