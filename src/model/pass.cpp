// SPDX-License-Identifier: Apache-2.0
#include "model/pass.hpp"

#include "base/philox.hpp"
#include "comm/device_sum.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/work.hpp"

namespace polyphase {
namespace {

DeviceRowGroups upload_groups(const Exec& exec, const std::vector<std::int32_t>& ids_N) {
  const RowGroups groups = group_rows(ids_N);
  return {.rows_N = upload(exec, groups.rows_N),
          .ids_U = upload(exec, groups.ids_U),
          .starts_U = upload(exec, groups.starts_U)};
}

}  // namespace

template <class T>
Tensor1<const T> upload(const Exec& exec, const std::vector<T>& values) {
  const Tensor1<T> device = exec.arena->take1<T>(static_cast<std::int64_t>(values.size()));
  if (!exec.counting()) copy_to_device(exec, device, values.data());
  return device;
}

template Tensor1<const std::int32_t> upload(const Exec&, const std::vector<std::int32_t>&);
template Tensor1<const std::uint64_t> upload(const Exec&, const std::vector<std::uint64_t>&);
template Tensor1<const float> upload(const Exec&, const std::vector<float>&);

template <class T>
std::vector<T> download(const Exec& exec, Tensor1<const T> values) {
  std::vector<T> host(values.extent(0));
  copy_to_host(exec, host.data(), values);
  return host;
}

template std::vector<std::int32_t> download(const Exec&, Tensor1<const std::int32_t>);
template std::vector<float> download(const Exec&, Tensor1<const float>);
template std::vector<double> download(const Exec&, Tensor1<const double>);

Dropout Pass::dropout_at(std::uint64_t place, float rate) const {
  if (!training || rate == 0.0F) return {};
  return {.key = random_key(dropout.key, Purpose::kDropout, {place}),
          .rate = rate,
          .row_ids_N = row_ids_N};
}

bool Pass::skips_layer(std::uint64_t place) const {
  if (!training || dropout.layers == 0.0F) return false;
  const auto step = static_cast<std::uint64_t>(dropout.step);
  const std::uint64_t drawn = random_key(dropout.key, Purpose::kDropout, {place, step});
  return static_cast<double>(drawn >> 11) * 0x1p-53 < static_cast<double>(dropout.layers);
}

void Pass::sum_over_tensor_ranks(Tensor2<float> x) const {
  if (tensor.size() == 1) return;
  if (Work* const work = WorkCount::of(exec))
    ++work->shared_sums[static_cast<std::int64_t>(x.size())];
  if (exec.counting()) return;
  sum_over_ranks(exec, tensor, flat(x));
}

Pass begin_pass(const Exec& exec, const Communicator& tensor, const Batch& batch, const Rows& rows,
                const PassDropout& dropout, bool training) {
  Pass pass{.exec = exec, .tensor = tensor, .batch = batch, .rows = rows};
  pass.num_rows = static_cast<std::int64_t>(rows.tokens_N.size());
  pass.sequences = {.starts_host = rows.starts,
                    .starts = upload(exec, rows.starts),
                    .max_tokens = rows.max_tokens};
  if (&rows == &batch && !batch.prefixes_B.empty()) {
    pass.sequences.prefix_host = batch.prefixes_B;
    pass.sequences.prefix = upload(exec, batch.prefixes_B);
  }
  pass.tokens_N = upload(exec, rows.tokens_N);
  pass.positions_N = upload(exec, rows.positions_N);
  pass.segments_N = upload(exec, rows.segments_N);
  pass.row_ids_N = upload(exec, rows.row_ids_N);
  if (training) {
    pass.token_groups = upload_groups(exec, rows.tokens_N);
    pass.position_groups = upload_groups(exec, rows.positions_N);
    pass.segment_groups = upload_groups(exec, rows.segments_N);
  }
  pass.dropout = dropout;
  pass.training = training;
  return pass;
}

}  // namespace polyphase
