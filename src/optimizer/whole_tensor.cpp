// SPDX-License-Identifier: Apache-2.0
#include "optimizer/whole_tensor.hpp"

#include <cmath>

#include "comm/device_sum.hpp"
#include "kernels/combine.hpp"
#include "kernels/elementwise.hpp"

namespace polyphase {
namespace {

bool is_split(const Exec& exec, const Communicator& tensor, const Parameter& parameter) {
  return parameter.spec.split_dimension >= 0 && tensor.size() > 1 && !exec.counting();
}

Block block_of(const Parameter& parameter) {
  const ParameterSpec& spec = parameter.spec;
  return {.num_rows = parameter.local_shape[0],
          .num_columns = parameter.local_shape[1],
          .to_row = spec.split_dimension == 0 ? spec.split.begin : 0,
          .to_column = spec.split_dimension == 1 ? spec.split.begin : 0};
}

}  // namespace

double whole_sum(const Exec& exec, const Communicator& tensor, const Parameter& parameter,
                 double mine) {
  if (!is_split(exec, tensor, parameter)) return mine;
  double sum = 0;
  for (const double part : tensor.gather(std::vector<double>{mine})) sum += part;
  return sum;
}

double whole_norm(const Exec& exec, const Communicator& tensor, const Parameter& parameter,
                  Tensor1<const float> mine) {
  return std::sqrt(whole_sum(exec, tensor, parameter, sum_of_squares(exec, mine)));
}

Tensor2<float> whole_matrix(const Exec& exec, const Communicator& tensor,
                            const Parameter& parameter, Tensor1<const float> mine) {
  const auto whole =
      exec.arena->take2<float>(parameter.spec.global_shape[0], parameter.spec.global_shape[1]);
  const bool split = is_split(exec, tensor, parameter);
  // Zeros where other ranks have their parts: a sum with them changes no bit.
  if (split) fill(exec, flat(whole), 0.0F);
  const Block block = block_of(parameter);
  copy_block(exec, whole, Tensor2<const float>(mine.data(), block.num_rows, block.num_columns),
             block);
  if (!split) return whole;
  sum_over_ranks(exec, tensor, flat(whole));
  return whole;
}

void take_part(const Exec& exec, const Parameter& parameter, Tensor1<float> mine,
               Tensor2<const float> whole) {
  const Block block = block_of(parameter);
  copy_block(exec, Tensor2<float>(mine.data(), block.num_rows, block.num_columns), whole,
             {.num_rows = block.num_rows,
              .num_columns = block.num_columns,
              .from_row = block.to_row,
              .from_column = block.to_column});
}

}  // namespace polyphase
