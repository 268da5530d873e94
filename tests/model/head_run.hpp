// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "comm/session.hpp"
#include "kernels/device.hpp"
#include "model/parameters.hpp"
#include "objective/objective.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// An objective on hidden states that no encoder made, split over all ranks of the test, with its
// parameters and the hidden states set by formulas.
class HeadRun {
 public:
  static constexpr std::int64_t kWidth = 6;
  using Make = std::function<std::unique_ptr<Objective<float>>(ParameterSet&, const Communicator&,
                                                               const recipe::Model&)>;

  // Sequences of the given lengths, of which so many rows are a first text (0: all); the test fills
  // in their labels.
  HeadRun(const std::vector<std::int32_t>& lengths, const Make& make, std::int32_t first_text = 0);
  HeadRun(const HeadRun&) = delete;
  HeadRun& operator=(const HeadRun&) = delete;

  static recipe::Model model();
  Batch batch;
  ParameterSet parameters;
  std::vector<float> hidden, dhidden;  // N rows of kWidth
  float r_drop = 0.0F;                 // above 0, the batch's second half is the first's partner

  const Objective<float>& objective() const { return *objective_; }
  Tally run(bool training, float scale);
  // The elements of a parameter as the next run takes them, which the test may change.
  float* values(const std::string& name);
  std::vector<double> copy(const std::string& name);

  // Compares all gradients with differences of losses, for losses below `largest` nats and third
  // derivatives of the order of 1; every parameter must have a gradient.
  void check_gradients(double largest);

 private:
  RankGrid grid_;
  test::Device device_;
  std::vector<float> values_;  // of all parameters
  std::unique_ptr<Objective<float>> objective_;
};

}  // namespace polyphase
