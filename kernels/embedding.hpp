// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "kernels/exec.hpp"

namespace polyphase {

// x_NC[n] = (write: 0 or x_NC[n]) + table_VC[ids_N[n] - first_id]; ids outside [first_id, first_id
// + V) add nothing, so that a rank which holds a part of the vocabulary contributes its part to a
// sum over ranks.
void embedding_forward(const Exec& exec, Tensor2<float> x_NC, Write write,
                       Tensor1<const std::int32_t> ids_N, Tensor2<const float> table_VC,
                       std::int64_t first_id);

// y_BC[b] += the sum of table_VC's rows ids_M[starts[b] … starts[b+1]), in that order.
void embedding_bag_forward(const Exec& exec, Tensor2<float> y_BC, Tensor1<const std::int32_t> ids_M,
                           Tensor1<const std::int32_t> starts, Tensor2<const float> table_VC);

// Rows grouped by the id that they hold: what makes the sum of an id's gradient rows a fixed one.
// rows_N is sorted by (id, row); group u is rows_N[starts_U[u] … starts_U[u+1]) and holds ids_U[u].
struct RowGroups {
  std::vector<std::int32_t> rows_N, ids_U, starts_U;
};
RowGroups group_rows(const std::vector<std::int32_t>& ids_N);

// The same in the execution space's memory.
struct DeviceRowGroups {
  Tensor1<const std::int32_t> rows_N, ids_U, starts_U;  // starts_U has one element more than ids_U
};

// dtable_VC[id - first_id] += sum of dx_NC's rows that hold id, in row order. Ids outside the local
// part add nothing.
void embedding_backward(const Exec& exec, Tensor2<float> dtable_VC, Tensor2<const float> dx_NC,
                        const DeviceRowGroups& groups, std::int64_t first_id);

}  // namespace polyphase
