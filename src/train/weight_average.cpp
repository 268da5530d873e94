// SPDX-License-Identifier: Apache-2.0
#include "train/weight_average.hpp"

#include <algorithm>

#include "kernels/combine.hpp"
#include "optimizer/treatment.hpp"

namespace polyphase {

WeightAverage::WeightAverage(const ParameterSet& parameters, const recipe::Phase& phase)
    : decay_(phase.regularisation.average->decay),
      values_("averaged parameters", parameters.total_count()) {
  const std::vector<Treatment> treated = treatments(parameters, phase);
  for (std::size_t number = 0; number < treated.size(); ++number) {
    first_steps_.push_back(treated[number].first_step);
    if (!treated[number].is_trained()) continue;
    const Parameter& parameter = parameters.at(number);
    const ParameterSpec& spec = parameter.spec;
    tensors_.push_back(
        {.name = "average/" + spec.name,
         .parameter = number,
         .global_shape = spec.global_shape,
         .local_shape = parameter.local_shape,
         .split_dimension = spec.split_dimension,
         .begin = spec.split_dimension < 0 ? 0 : spec.split.begin,
         .offset = parameter.offset,
         .count = parameter.count,
         .values = Tensor1<float>(values_.data() + parameter.offset, parameter.count)});
  }
}

std::int64_t WeightAverage::planned_bytes(const ParameterSet& parameters) {
  return parameters.total_count() * static_cast<std::int64_t>(sizeof(float));
}

void WeightAverage::start(const ParameterSet& parameters) {
  Kokkos::deep_copy(Tensor1<float>(values_.data(), values_.size()), parameters.values());
}

void WeightAverage::update(const Exec& exec, const ParameterSet& parameters, std::int64_t step) {
  const double t = static_cast<double>(step);
  const auto kept = static_cast<float>(std::min(decay_, (1.0 + t) / (10.0 + t)));
  for (const StateTensor& tensor : tensors_) {
    if (first_steps_[tensor.parameter] >= step) continue;  // steps of training count from 0
    // 1 - kept is exact, so that the average of equal values stays where it is but for rounding.
    combine(exec, tensor.values, kept,
            Tensor1<const float>(parameters.values().data() + tensor.offset, tensor.count),
            1.0F - kept);
  }
}

}  // namespace polyphase
