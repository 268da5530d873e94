// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <exception>
#include <vector>

#include "optimizer/optimizer.hpp"
#include "train/phase_model.hpp"

namespace polyphase {

// An exponential moving average of the parameters that a phase trains (Polyak and Juditsky, 1992,
// in the form of TensorFlow's ExponentialMovingAverage). After step t, counted from 1,
//     average ← d · average + (1 - d) · parameters,   d = min(decay, (1 + t) / (10 + t)),
// so that it follows early steps closely and needs no correction of its start. Parameters that a
// step does not train are left as they are. Each data rank keeps the average of what the shards
// give it; those of parameters that a phase never trains are kept nowhere.
class WeightAverage {
 public:
  // `data`, which must live on, is where the shards are.
  WeightAverage(const ParameterSet& parameters, const recipe::Phase& phase, Shards shards,
                const Communicator& data);

  static std::int64_t planned_bytes(const ParameterSet& parameters, const recipe::Phase& phase,
                                    const Shards& shards, int data_rank);

  // The average is what the parameters are.
  void start(const ParameterSet& parameters);
  void update(const Exec& exec, const ParameterSet& parameters, std::int64_t step);

  // As a checkpoint holds them, "average/NAME": of the parameters that the phase ever trains. The
  // others are their own average.
  const std::vector<StateTensor>& tensors() const { return tensors_; }

 private:
  friend class AveragedParameters;
  // The averages in place of the parameters, and the parameters in place of the averages.
  void swap(ParameterSet& parameters);

  double decay_;
  Shards shards_;
  const Communicator& data_;
  std::vector<std::int64_t> first_steps_;  // of training, by parameter
  std::vector<StateTensor> tensors_;
  std::vector<std::int64_t> begins_;  // of the tensors, in the parameters' storage
  Kokkos::View<float*, Memory> values_;
};

// While it lives, the model's parameters are their averages: where these are divided, or the model
// has stages, its beginning and its end are collective. An error that ends its life leaves the
// parameters as averages, since ranks may then have parted. Without an average it does nothing.
class AveragedParameters {
 public:
  AveragedParameters(PhaseModel& model, WeightAverage* average) : model_(model), average_(average) {
    swap();
  }
  ~AveragedParameters() noexcept(false) {
    if (std::uncaught_exceptions() == num_errors_) swap();
  }
  AveragedParameters(const AveragedParameters&) = delete;
  AveragedParameters& operator=(const AveragedParameters&) = delete;

 private:
  void swap() {
    if (average_ == nullptr) return;
    average_->swap(model_.parameters());
    model_.share_copies();
  }

  PhaseModel& model_;
  WeightAverage* average_;
  int num_errors_ = std::uncaught_exceptions();
};

}  // namespace polyphase
