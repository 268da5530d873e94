// SPDX-License-Identifier: Apache-2.0
#include "train/weight_average.hpp"

#include <algorithm>

#include "comm/device_sum.hpp"
#include "kernels/combine.hpp"
#include "kernels/elementwise.hpp"
#include "optimizer/treatment.hpp"

namespace polyphase {

namespace {

// Of all data ranks, with where they begin in the parameters' storage.
struct Planned {
  std::vector<StateTensor> tensors;
  std::vector<std::int64_t> begins;
  StateLayout layout;
};

Planned plan(const ParameterSet& parameters, const std::vector<Treatment>& treated,
             const Shards& shards) {
  Planned planned = {.layout = StateLayout(shards, sizeof(float))};
  for (std::size_t number = 0; number < treated.size(); ++number) {
    const Parameter& parameter = parameters.at(number);
    if (!treated[number].is_trained() || !parameter.is_own) continue;
    for (const Piece& piece : shards.pieces_of(parameter)) {
      planned.tensors.push_back(state_tensor({"average"}, number, parameter, piece, shards));
      planned.layout.place(planned.tensors.back());
      planned.begins.push_back(parameter.offset + piece.begin);
    }
  }
  return planned;
}

}  // namespace

WeightAverage::WeightAverage(const ParameterSet& parameters, const recipe::Phase& phase,
                             Shards shards, const Communicator& data)
    : decay_(phase.regularisation.average->decay), shards_(std::move(shards)), data_(data) {
  const std::vector<Treatment> treated = treatments(parameters, phase);
  for (const Treatment& treatment : treated) first_steps_.push_back(treatment.first_step);
  Planned planned = plan(parameters, treated, shards_);
  values_ = Kokkos::View<float*, Memory>(
      Kokkos::view_alloc(Kokkos::WithoutInitializing, "averaged parameters"),
      planned.layout.count(shards_.rank));
  fill(Exec{}, Tensor1<float>(values_.data(), values_.extent(0)), 0.0F);
  tensors_ = std::move(planned.tensors);
  begins_ = std::move(planned.begins);
  for (StateTensor& tensor : tensors_) {
    if (tensor.is_here)
      tensor.values = Tensor1<float>(values_.data() + tensor.offset, tensor.count);
  }
}

std::int64_t WeightAverage::planned_bytes(const ParameterSet& parameters,
                                          const recipe::Phase& phase, const Shards& shards,
                                          int data_rank) {
  return plan(parameters, treatments(parameters, phase), shards).layout.bytes(data_rank);
}

void WeightAverage::start(const ParameterSet& parameters) {
  for (std::size_t t = 0; t < tensors_.size(); ++t) {
    const StateTensor& tensor = tensors_[t];
    if (!tensor.is_here) continue;
    Kokkos::deep_copy(tensor.values,
                      Tensor1<const float>(parameters.values().data() + begins_[t], tensor.count));
  }
}

void WeightAverage::update(const Exec& exec, const ParameterSet& parameters, std::int64_t step) {
  const double t = static_cast<double>(step);
  const auto kept = static_cast<float>(std::min(decay_, (1.0 + t) / (10.0 + t)));
  std::vector<Combination> all;
  for (std::size_t number = 0; number < tensors_.size(); ++number) {
    const StateTensor& tensor = tensors_[number];
    if (!tensor.is_here) continue;
    if (first_steps_[tensor.parameter] >= step) continue;  // steps of training count from 0
    // 1 - kept is exact, so that the average of equal values stays where it is but for rounding.
    all.push_back(
        {tensor.values, kept,
         Tensor1<const float>(parameters.values_so_far().data() + begins_[number], tensor.count),
         1.0F - kept});
  }
  combine(exec, all);
}

void WeightAverage::swap(ParameterSet& parameters) {
  std::vector<std::vector<ArrayPart>> parts(shards_.ranges.size());
  for (std::size_t t = 0; t < tensors_.size(); ++t) {
    const StateTensor& tensor = tensors_[t];
    if (shards_.divided())
      parts[static_cast<std::size_t>(tensor.owner)].push_back(
          {.begin = begins_[t], .end = begins_[t] + tensor.count});
    if (!tensor.is_here) continue;
    swap_elements(Exec{}, tensor.values,
                  Tensor1<float>(parameters.values().data() + begins_[t], tensor.count));
  }
  if (!shards_.divided()) return;
  exchange_parts(Exec{}, data_, parameters.values(), parts);
}

}  // namespace polyphase
