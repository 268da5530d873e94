// SPDX-License-Identifier: Apache-2.0
#include "model/key_value_cache.hpp"

#include <algorithm>
#include <utility>

#include "kernels/elementwise.hpp"
#include "kernels/rows.hpp"

namespace polyphase {

KeyValueCache::KeyValueCache(std::int64_t num_sequences, std::int64_t max_tokens)
    : num_sequences_(num_sequences), max_tokens_(max_tokens) {
  for (std::int64_t b = 0; b <= num_sequences; ++b)
    keys_.starts_host.push_back(static_cast<std::int32_t>(b * max_tokens));
  keys_.lengths_host.assign(static_cast<std::size_t>(num_sequences), 0);
  starts_ = to_device({}, keys_.starts_host);
  keys_.starts = view(starts_);
}

Tensor1<const std::int32_t> KeyValueCache::view(const Integers& values) {
  return Tensor1<const std::int32_t>(values.data(), values.extent(0));
}

KeyValueCache::Integers KeyValueCache::to_device(const Exec& exec,
                                                 const std::vector<std::int32_t>& values) {
  Integers result("cached integers", values.size());
  copy_to_device(exec, Tensor1<std::int32_t>(result.data(), result.extent(0)), values.data());
  return result;
}

void KeyValueCache::begin_pass(const Exec& exec, const Batch& batch) {
  const Rows& rows = batch;
  if (!batch.prefixes_B.empty()) {
    keys_.prefix_host = batch.prefixes_B;
    prefixes_ = to_device(exec, keys_.prefix_host);
    keys_.prefix = view(prefixes_);
  }
  POLYPHASE_PROMISE(rows.num_sequences() == num_sequences_, "{} sequences in a cache of {}",
                    rows.num_sequences(), num_sequences_);
  std::vector<std::int32_t> places(rows.tokens_N.size(), -1);
  for (std::int64_t b = 0; b < num_sequences_; ++b) {
    for (std::int32_t row = rows.starts[b]; row < rows.starts[b + 1]; ++row)
      places[row] = keys_.starts_host[b] + keys_.lengths_host[b]++;
    POLYPHASE_PROMISE(keys_.lengths_host[b] <= max_tokens_, "{} tokens in a cache of {}",
                      keys_.lengths_host[b], max_tokens_);
  }
  places_ = to_device(exec, places);
  lengths_ = to_device(exec, keys_.lengths_host);
  keys_.lengths = view(lengths_);
  keys_.max_tokens = *std::max_element(keys_.lengths_host.begin(), keys_.lengths_host.end());
}

void KeyValueCache::begin_source(const Exec& exec, const Rows& source) {
  source_starts_ = to_device(exec, source.starts);
  source_keys_ = {.starts_host = source.starts,
                  .starts = view(source_starts_),
                  .max_tokens = source.max_tokens};
  num_source_rows_ = static_cast<std::int64_t>(source.tokens_N.size());
  has_source_ = true;
}

template <class Real>
Tensor2<Real> KeyValueCache::rows_of(std::map<std::uint64_t, Layer>& layers, std::uint64_t place,
                                     std::int64_t num_rows, std::int64_t num_columns, bool& fresh) {
  Layer& layer = layers[place];
  fresh = layer.num_columns == 0;
  if (fresh) {
    layer = {Bytes("key/value cache", num_rows * num_columns * sizeof(Real)), num_columns,
             sizeof(Real)};
  }
  return Tensor2<Real>(reinterpret_cast<Real*>(layer.bytes.data()), num_rows, num_columns);
}

template <class Real>
Tensor2<Real> KeyValueCache::rows(std::uint64_t place, std::int64_t num_columns) {
  bool fresh = false;
  return rows_of<Real>(layers_, place, num_sequences_ * max_tokens_, num_columns, fresh);
}

template <class Real>
Tensor2<Real> KeyValueCache::source_rows(std::uint64_t place, std::int64_t num_columns,
                                         bool& fresh) {
  return rows_of<Real>(source_layers_, place, num_source_rows_, num_columns, fresh);
}

template <class Real>
void KeyValueCache::reorder_layer(const Exec& exec, Layer& layer,
                                  Tensor1<const std::int32_t> from) {
  const std::int64_t num_rows = num_sequences_ * max_tokens_;
  const auto tensor = [&](const Bytes& bytes) {
    return Tensor2<Real>(reinterpret_cast<Real*>(bytes.data()), num_rows, layer.num_columns);
  };
  if (spare_.extent(0) != layer.bytes.extent(0)) {
    spare_ = Bytes(Kokkos::view_alloc(Kokkos::WithoutInitializing, "key/value cache"),
                   layer.bytes.extent(0));
  }
  gather_rows<Real>(exec, tensor(spare_), tensor(layer.bytes), from);
  std::swap(layer.bytes, spare_);
}

void KeyValueCache::reorder(const Exec& exec, const std::vector<std::int32_t>& parents) {
  bool moves = false;
  std::vector<std::int32_t> from(static_cast<std::size_t>(num_sequences_ * max_tokens_), -1);
  std::vector<std::int32_t> lengths;
  for (std::int64_t b = 0; b < num_sequences_; ++b) {
    const std::int32_t parent = parents[b];
    moves = moves || parent != b;
    lengths.push_back(keys_.lengths_host[parent]);
    for (std::int32_t token = 0; token < lengths.back(); ++token)
      from[keys_.starts_host[b] + token] = keys_.starts_host[parent] + token;
  }
  if (!moves) return;
  keys_.lengths_host = lengths;
  const Integers device_from = to_device(exec, from);
  for (auto& [place, layer] : layers_) {
    if (layer.element_bytes == sizeof(float)) {
      reorder_layer<float>(exec, layer, view(device_from));
    } else {
      reorder_layer<bf16>(exec, layer, view(device_from));
    }
  }
  exec.space.fence();
}

template Tensor2<float> KeyValueCache::rows(std::uint64_t, std::int64_t);
template Tensor2<bf16> KeyValueCache::rows(std::uint64_t, std::int64_t);
template Tensor2<float> KeyValueCache::source_rows(std::uint64_t, std::int64_t, bool&);
template Tensor2<bf16> KeyValueCache::source_rows(std::uint64_t, std::int64_t, bool&);

}  // namespace polyphase
