// SPDX-License-Identifier: Apache-2.0
#include "kernels/embedding.hpp"

#include <algorithm>
#include <numeric>

#include "kernels/for_rows.hpp"
#include "kernels/work.hpp"

namespace polyphase {

void embedding_forward(const Exec& exec, Tensor2<float> x_NC, Write write,
                       Tensor1<const std::int32_t> ids_N, Tensor2<const float> table_VC,
                       std::int64_t first_id) {
  const KernelRegion region("embedding_forward");
  note_moved(exec, x_NC, x_NC);
  const std::int64_t num_columns = x_NC.extent(1), num_ids = table_VC.extent(0);
  const bool accumulate = write == Write::kAccumulate;
  for_rows(
      exec, x_NC.extent(0), KOKKOS_LAMBDA(const Row& row) {
        float* x = row_data(x_NC, row.index());
        const std::int64_t id = ids_N(row.index()) - first_id;
        if (id < 0 || id >= num_ids) {
          if (!accumulate) row.each(num_columns, [=](std::int64_t c) { x[c] = 0.0F; });
          return;
        }
        const float* entry = row_data(table_VC, id);
        if (accumulate) {
          row.each(num_columns, [=](std::int64_t c) { x[c] += entry[c]; });
        } else {
          row.each(num_columns, [=](std::int64_t c) { x[c] = entry[c]; });
        }
      });
}

void embedding_bag_forward(const Exec& exec, Tensor2<float> y_BC, Tensor1<const std::int32_t> ids_M,
                           Tensor1<const std::int32_t> starts, Tensor2<const float> table_VC) {
  const KernelRegion region("embedding_bag_forward");
  const std::int64_t num_columns = y_BC.extent(1), num_rows = ids_M.extent(0);
  note_moved(exec, y_BC, y_BC, ids_M, Tensor2<const float>(nullptr, num_rows, num_columns));
  for_rows(
      exec, y_BC.extent(0), KOKKOS_LAMBDA(const Row& row) {
        float* y = row_data(y_BC, row.index());
        for (std::int64_t m = starts(row.index()); m < starts(row.index() + 1); ++m) {
          const float* entry = row_data(table_VC, ids_M(m));
          row.each(num_columns, [=](std::int64_t c) { y[c] += entry[c]; });
        }
      });
}

RowGroups group_rows(const std::vector<std::int32_t>& ids_N) {
  RowGroups groups;
  groups.rows_N.resize(ids_N.size());
  std::iota(groups.rows_N.begin(), groups.rows_N.end(), 0);
  std::stable_sort(groups.rows_N.begin(), groups.rows_N.end(),
                   [&](std::int32_t a, std::int32_t b) { return ids_N[a] < ids_N[b]; });
  for (std::size_t i = 0; i < ids_N.size(); ++i) {
    const std::int32_t id = ids_N[groups.rows_N[i]];
    if (groups.ids_U.empty() || groups.ids_U.back() != id) {
      groups.ids_U.push_back(id);
      groups.starts_U.push_back(static_cast<std::int32_t>(i));
    }
  }
  groups.starts_U.push_back(static_cast<std::int32_t>(ids_N.size()));
  return groups;
}

void embedding_backward(const Exec& exec, Tensor2<float> dtable_VC, Tensor2<const float> dx_NC,
                        const DeviceRowGroups& groups, std::int64_t first_id) {
  const KernelRegion region("embedding_backward");
  note_moved(exec, dx_NC, dx_NC, dx_NC);
  const std::int64_t num_columns = dtable_VC.extent(1), num_ids = dtable_VC.extent(0);
  const std::int64_t num_chunks = divide_up(num_columns, kColumnsPerChunk);
  for_rows(
      exec, groups.ids_U.extent(0) * num_chunks, KOKKOS_LAMBDA(const Row& row) {
        // Chunks of one group follow one another: most groups are few rows, which are then read
        // once and whole.
        const std::int64_t u = row.index() / num_chunks;
        const std::int64_t id = groups.ids_U(u) - first_id;
        if (id < 0 || id >= num_ids) return;
        ColumnChunk chunk(row, row.index() % num_chunks, num_columns);
        for (std::int64_t i = groups.starts_U(u); i < groups.starts_U(u + 1); ++i) {
          chunk.add(row, row_data(dx_NC, groups.rows_N(i)));
        }
        float* dentry = row_data(dtable_VC, id) + chunk.begin;
        chunk.each(row, [=](std::int64_t c, float total) { dentry[c] += total; });
      });
}

}  // namespace polyphase
