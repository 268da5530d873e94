// SPDX-License-Identifier: Apache-2.0
#include "model/pass.hpp"

#include <bit>

#include "base/philox.hpp"
#include "comm/device_sum.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/work.hpp"

namespace polyphase {
namespace {

// A sum of which each rank gets a part, or parts that each gets of the others: either sends as much
// as the sum of an array of half the size. Ranks that are no power of two sum all of it.
void note_half_a_sum(const Pass& pass, std::size_t num_bytes) {
  const bool halves = std::has_single_bit(static_cast<unsigned>(pass.tensor.size()));
  if (Work* const work = WorkCount::of(pass.exec))
    ++work->shared_sums[static_cast<std::int64_t>(num_bytes / sizeof(float) / (halves ? 2 : 1))];
}

// What each tensor-parallel rank has of an array of so many columns, by rows.
std::vector<ArrayPart> parts_of_ranks(const Pass& pass, std::size_t num_columns) {
  const auto width = static_cast<std::int64_t>(num_columns);
  std::vector<ArrayPart> parts;
  for (int rank = 0; rank < pass.tensor.size(); ++rank) {
    const Split part = split_evenly(pass.num_rows, rank, pass.tensor.size());
    parts.push_back({.begin = part.begin * width, .end = (part.begin + part.size) * width});
  }
  return parts;
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

Split Pass::own() const {
  if (!divides_rows) return {.begin = 0, .size = num_rows};
  return split_evenly(num_rows, tensor.rank(), tensor.size());
}

Dropout Pass::dropout_at(std::uint64_t place, float rate) const {
  if (!training || rate == 0.0F) return {};
  return {.key = random_key(dropout.key, Purpose::kDropout, {place}),
          .rate = rate,
          .row_ids_N = row_ids_N};
}

Dropout Pass::own_dropout_at(std::uint64_t place, float rate) const {
  Dropout dropout = dropout_at(place, rate);
  if (dropout.rate != 0.0F)
    dropout.row_ids_N = Tensor1<const std::uint64_t>(row_ids_N.data() + own().begin, own().size);
  return dropout;
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

void Pass::sum_own_rows(Tensor2<float> x_NC) const {
  if (!divides_rows) return sum_over_tensor_ranks(x_NC);
  if (tensor.size() == 1) return;
  note_half_a_sum(*this, x_NC.size() * sizeof(float));
  if (!exec.counting()) sum_parts(exec, tensor, flat(x_NC), parts_of_ranks(*this, x_NC.extent(1)));
}

template <class Real>
void Pass::gather_own_rows(Tensor2<Real> x_NC) const {
  if (!divides_rows || tensor.size() == 1) return;
  note_half_a_sum(*this, x_NC.size() * sizeof(Real));
  if (exec.counting()) return;
  std::vector<std::vector<ArrayPart>> parts;
  for (const ArrayPart& part : parts_of_ranks(*this, x_NC.extent(1))) parts.push_back({part});
  exchange_parts(exec, tensor, flat(x_NC), parts);
}

Tensor2<const float> Pass::all_rows(Tensor2<const float> own_NC, Tensor2<float> x_NC) const {
  if (!divides_rows) return own_NC;
  convert<float, float>(exec, flat(own_rows(x_NC)), flat(own_NC));
  gather_own_rows(x_NC);
  return x_NC;
}

bool Pass::has_chunk(int distance) const {
  const int other = chunk.number + distance;
  return links != nullptr && other >= 0 && other < chunk.count;
}

void Pass::send(int distance, Tensor2<const float> rows, Subject subject) const {
  const int stage = (chunk.number + distance) % links->num_stages();
  if (!exec.counting()) return links->send(exec, stage, {subject}, flat(rows));
  links->plan(stage, {subject}, static_cast<std::int64_t>(rows.size()));
  if (Work* const work = WorkCount::of(exec)) work->passed_on += static_cast<double>(rows.size());
}

void Pass::receive(int distance, Tensor2<float> rows, Subject subject) const {
  const int stage = (chunk.number + distance) % links->num_stages();
  if (!exec.counting()) links->receive(exec, stage, {subject}, flat(rows));
}

void Pass::poll_links() const {
  if (links != nullptr && !exec.counting()) links->poll();
}

template void Pass::gather_own_rows(Tensor2<float>) const;
template void Pass::gather_own_rows(Tensor2<bf16>) const;

Pass begin_pass(const Exec& exec, const Communicator& tensor, const Batch& batch, const Rows& rows,
                const PassDropout& dropout, bool training) {
  Pass pass{.exec = exec, .tensor = tensor, .batch = batch, .rows = rows};
  pass.num_rows = static_cast<std::int64_t>(rows.tokens_N.size());
  pass.sequences = {.starts_host = rows.starts, .max_tokens = rows.max_tokens};
  if (&rows == &batch) pass.sequences.prefix_host = batch.prefixes_B;
  std::tie(pass.sequences.starts, pass.sequences.prefix, pass.tokens_N, pass.positions_N,
           pass.segments_N, pass.row_ids_N) =
      upload_all(exec, rows.starts, pass.sequences.prefix_host, rows.tokens_N, rows.positions_N,
                 rows.segments_N, rows.row_ids_N);
  if (training) {
    const RowGroups tokens = group_rows(rows.tokens_N), positions = group_rows(rows.positions_N),
                    segments = group_rows(rows.segments_N);
    DeviceRowGroups &t = pass.token_groups, &p = pass.position_groups, &s = pass.segment_groups;
    std::tie(t.rows_N, t.ids_U, t.starts_U, p.rows_N, p.ids_U, p.starts_U, s.rows_N, s.ids_U,
             s.starts_U) = upload_all(exec, tokens.rows_N, tokens.ids_U, tokens.starts_U,
                                      positions.rows_N, positions.ids_U, positions.starts_U,
                                      segments.rows_N, segments.ids_U, segments.starts_U);
  }
  pass.dropout = dropout;
  pass.training = training;
  return pass;
}

}  // namespace polyphase
