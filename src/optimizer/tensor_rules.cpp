// SPDX-License-Identifier: Apache-2.0
#include "optimizer/tensor_rules.hpp"

#include <algorithm>
#include <cmath>

#include "comm/device_sum.hpp"
#include "kernels/adafactor.hpp"
#include "kernels/adamw.hpp"
#include "kernels/combine.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/momentum.hpp"
#include "kernels/orthogonalise.hpp"
#include "optimizer/name_pattern.hpp"
#include "optimizer/whole_tensor.hpp"

namespace polyphase {
namespace {

constexpr double kSmallestRms = 1e-3;  // Adafactor's epsilon 2
constexpr double kMuonScale = 0.2;     // root mean square of AdamW's directions

std::int64_t whole_count(const Parameter& parameter) {
  std::int64_t count = 1;
  for (const std::int64_t extent : parameter.spec.global_shape) count *= extent;
  return count;
}

// value = value · (1 - learning_rate · weight_decay) - rate · direction.
void step_against(const Exec& exec, const UpdateTensors& tensors, const UpdateNumbers& numbers,
                  Tensor1<const float> direction, double rate) {
  combine(exec, tensors.value,
          static_cast<float>(1.0 - numbers.learning_rate * numbers.weight_decay), direction,
          static_cast<float>(-rate));
}

bool is_factored(const Parameter& parameter) { return parameter.spec.global_shape.size() == 2; }

bool is_product_in_layers(const Parameter& parameter) {
  return parameter.spec.global_shape.size() == 2 &&
         matches("*layers.*.weight", parameter.spec.name);
}

double mean_of(const Exec& exec, const Communicator& tensor, const Parameter& parameter,
               Tensor1<const float> row_R) {
  std::vector<float> rows(row_R.extent(0));
  if (exec.counting()) return 1.0;
  copy_to_host<float>(exec, rows.data(), row_R);
  double sum = 0;
  for (const float row : rows) sum += static_cast<double>(row);
  if (parameter.spec.split_dimension == 0) sum = whole_sum(exec, tensor, parameter, sum);
  return sum / static_cast<double>(parameter.spec.global_shape[0]);
}

// Sums of which every rank has the terms of its own columns (or rows).
void add_up(const Exec& exec, const Communicator& tensor, Tensor1<float> sums) {
  if (!exec.counting()) sum_over_ranks(exec, tensor, sums);
}

}  // namespace

std::vector<StateSpec> LambRule::state_of(const Parameter&) const {
  return {{"moment1"}, {"moment2"}};
}

void LambRule::update(const Exec& exec, const Communicator& tensor,
                      const std::vector<ParameterUpdate>& updates) const {
  for (const ParameterUpdate& one : updates) update_one(exec, tensor, one.tensors, one.numbers);
}

void LambRule::update_one(const Exec& exec, const Communicator& tensor,
                          const UpdateTensors& tensors, const UpdateNumbers& numbers) const {
  ArenaScope scope(*exec.arena);
  const Tensor1<float> direction = exec.arena->take1<float>(tensors.parameter.count);
  lamb_direction(exec, direction, tensors.state[0], tensors.state[1], tensors.value,
                 tensors.gradient,
                 {.beta1 = static_cast<float>(settings_.beta1),
                  .beta2 = static_cast<float>(settings_.beta2),
                  .epsilon = static_cast<float>(settings_.epsilon),
                  .weight_decay = static_cast<float>(numbers.weight_decay),
                  .step = numbers.count,
                  .squares_step = numbers.squares_count,
                  .gradient_scale = static_cast<float>(numbers.gradient_scale)});
  double trust = 1.0;
  if (tensors.parameter.spec.decays) {
    const double length = whole_norm(exec, tensor, tensors.parameter, tensors.value);
    const double step = whole_norm(exec, tensor, tensors.parameter, direction);
    if (length > 0 && step > 0) trust = length / step;
  }
  combine(exec, tensors.value, 1.0F, direction, static_cast<float>(-numbers.learning_rate * trust));
}

std::vector<StateSpec> AdafactorRule::state_of(const Parameter& parameter) const {
  if (!is_factored(parameter)) return {{"square"}};
  return {{"row_square", StateExtent::kRows}, {"column_square", StateExtent::kColumns}};
}

void AdafactorRule::factored(const Exec& exec, const Communicator& tensor,
                             const UpdateTensors& tensors, const UpdateNumbers& numbers,
                             Tensor1<float> direction) const {
  const Parameter& parameter = tensors.parameter;
  const std::int64_t num_rows = parameter.local_shape[0], num_columns = parameter.local_shape[1];
  const Tensor2<const float> gradient_RC(tensors.gradient.data(), num_rows, num_columns);
  const auto scale = static_cast<float>(numbers.gradient_scale);
  const auto share = static_cast<float>(std::pow(static_cast<double>(numbers.squares_count), -0.8));
  const Tensor1<float> row_R = tensors.state[0], column_C = tensors.state[1];
  const Tensor1<float> sums_R = exec.arena->take1<float>(num_rows),
                       sums_C = exec.arena->take1<float>(num_columns);
  row_square_sums(exec, sums_R, gradient_RC, scale);
  column_square_sums(exec, sums_C, gradient_RC, scale);
  if (parameter.spec.split_dimension == 1) add_up(exec, tensor, sums_R);
  if (parameter.spec.split_dimension == 0) add_up(exec, tensor, sums_C);
  const auto of_whole = [&parameter](int dimension) {
    return 1.0F / static_cast<float>(parameter.spec.global_shape[dimension]);
  };
  average_squares(exec, row_R, sums_R, of_whole(1), share);
  average_squares(exec, column_C, sums_C, of_whole(0), share);
  const auto mean_row = static_cast<float>(mean_of(exec, tensor, parameter, row_R));
  factored_direction(exec, Tensor2<float>(direction.data(), num_rows, num_columns), gradient_RC,
                     scale, row_R, column_C, mean_row);
}

void AdafactorRule::update(const Exec& exec, const Communicator& tensor,
                           const std::vector<ParameterUpdate>& updates) const {
  for (const ParameterUpdate& one : updates) update_one(exec, tensor, one.tensors, one.numbers);
}

void AdafactorRule::update_one(const Exec& exec, const Communicator& tensor,
                               const UpdateTensors& tensors, const UpdateNumbers& numbers) const {
  ArenaScope scope(*exec.arena);
  const Parameter& parameter = tensors.parameter;
  const Tensor1<float> direction = exec.arena->take1<float>(parameter.count);
  if (is_factored(parameter)) {
    factored(exec, tensor, tensors, numbers, direction);
  } else {
    square_direction(
        exec, direction, tensors.state[0], tensors.gradient,
        static_cast<float>(numbers.gradient_scale),
        static_cast<float>(std::pow(static_cast<double>(numbers.squares_count), -0.8)));
  }
  const double root = std::sqrt(static_cast<double>(whole_count(parameter)));
  const double rms = whole_norm(exec, tensor, parameter, tensors.value) / root;
  const double rms_of_direction = whole_norm(exec, tensor, parameter, direction) / root;
  step_against(
      exec, tensors, numbers, direction,
      numbers.learning_rate * std::max(kSmallestRms, rms) / std::max(1.0, rms_of_direction));
}

std::vector<StateSpec> MuonRule::state_of(const Parameter& parameter) const {
  if (!is_product_in_layers(parameter)) return others_.state_of(parameter);
  return {{"momentum"}};
}

bool MuonRule::is_element_wise(const Parameter& parameter) const {
  return !is_product_in_layers(parameter);
}

void MuonRule::update(const Exec& exec, const Communicator& tensor,
                      const std::vector<ParameterUpdate>& updates) const {
  std::vector<ParameterUpdate> others;
  for (const ParameterUpdate& one : updates) {
    if (is_product_in_layers(one.tensors.parameter)) {
      update_one(exec, tensor, one.tensors, one.numbers);
    } else {
      others.push_back(one);
    }
  }
  others_.update(exec, tensor, others);
}

void MuonRule::update_one(const Exec& exec, const Communicator& tensor,
                          const UpdateTensors& tensors, const UpdateNumbers& numbers) const {
  const Parameter& parameter = tensors.parameter;
  ArenaScope scope(*exec.arena);
  const Tensor1<float> direction = exec.arena->take1<float>(parameter.count);
  averaged_direction(exec, direction, tensors.state[0], tensors.gradient,
                     static_cast<float>(numbers.gradient_scale),
                     static_cast<float>(settings_.momentum), settings_.nesterov);
  const Tensor2<float> whole = whole_matrix(exec, tensor, parameter, direction);
  orthogonalise(exec, whole);
  take_part(exec, parameter, direction, whole);
  const std::int64_t longer =
      std::max(parameter.spec.global_shape[0], parameter.spec.global_shape[1]);
  step_against(exec, tensors, numbers, direction,
               numbers.learning_rate * kMuonScale * std::sqrt(static_cast<double>(longer)));
}

}  // namespace polyphase
