// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "optimizer/optimizer.hpp"

namespace polyphase {

// An exponential moving average of the parameters that a phase trains (Polyak and Juditsky, 1992,
// in the form of TensorFlow's ExponentialMovingAverage). After step t, counted from 1,
//     average ← d · average + (1 - d) · parameters,   d = min(decay, (1 + t) / (10 + t)),
// so that it follows early steps closely and needs no correction of its start. Parameters that a
// step does not train are left as they are.
class WeightAverage {
 public:
  WeightAverage(const ParameterSet& parameters, const recipe::Phase& phase);

  static std::int64_t planned_bytes(const ParameterSet& parameters);

  // The average is what the parameters are.
  void start(const ParameterSet& parameters);
  void update(const Exec& exec, const ParameterSet& parameters, std::int64_t step);

  // As a checkpoint holds them, "average/NAME": of the parameters that the phase ever trains. The
  // others are their own average.
  const std::vector<StateTensor>& tensors() const { return tensors_; }

 private:
  friend class AveragedParameters;

  double decay_;
  std::vector<std::int64_t> first_steps_;  // of training, by parameter
  std::vector<StateTensor> tensors_;
  Kokkos::View<float*, Memory> values_;  // laid out as the parameters are
};

// While it lives, the model's parameters are their averages. Without an average it does nothing.
class AveragedParameters {
 public:
  AveragedParameters(ParameterSet& parameters, WeightAverage* average)
      : parameters_(parameters), average_(average) {
    swap();
  }
  ~AveragedParameters() { swap(); }
  AveragedParameters(const AveragedParameters&) = delete;
  AveragedParameters& operator=(const AveragedParameters&) = delete;

 private:
  void swap() {
    if (average_ != nullptr) parameters_.swap_values(average_->values_);
  }
  ParameterSet& parameters_;
  WeightAverage* average_;
};

}  // namespace polyphase
