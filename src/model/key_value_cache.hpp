// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <vector>

#include "corpus/batch.hpp"
#include "kernels/attention.hpp"
#include "kernels/exec.hpp"

namespace polyphase {

// Keys and values of the rows that earlier passes of a generation have computed, so that a new
// token costs one row. A generation is a number of sequences that grow together: each pass brings
// further rows of every one of them. Attention layers are told apart by their place.
class KeyValueCache {
 public:
  // Room for num_sequences of at most max_tokens.
  KeyValueCache(std::int64_t num_sequences, std::int64_t max_tokens);

  // Before a pass: its rows stand behind those that are there.
  // The first pass may say how many of each sequence's rows all of it sees (Batch::prefixes_B).
  void begin_pass(const Exec& exec, const Batch& batch);

  // All rows so far, those of the pass among them, as keys.
  const Sequences& keys() const { return keys_; }
  // Where in the cache each row of the pass goes; -1: nowhere.
  Tensor1<const std::int32_t> places_N() const { return view(places_); }
  // The layer's keys and values, room for every sequence behind that of the one before.
  template <class Real>
  Tensor2<Real> rows(std::uint64_t place, std::int64_t num_columns);

  // What cross attentions read, made in the first pass: one source sequence for each of the
  // generation's.
  void begin_source(const Exec& exec, const Rows& source);
  bool has_source() const { return has_source_; }
  const Sequences& source_keys() const { return source_keys_; }
  std::int64_t num_source_rows() const { return num_source_rows_; }
  // The layer's keys and values of the source; `fresh` when they have yet to be written.
  template <class Real>
  Tensor2<Real> source_rows(std::uint64_t place, std::int64_t num_columns, bool& fresh);

  // Sequence b goes on from where sequence parents[b] stands.
  void reorder(const Exec& exec, const std::vector<std::int32_t>& parents);

 private:
  using Bytes = Kokkos::View<std::byte*, Memory>;
  using Integers = Kokkos::View<std::int32_t*, Memory>;
  struct Layer {
    Bytes bytes;
    std::int64_t num_columns = 0, element_bytes = 0;
  };
  static Tensor1<const std::int32_t> view(const Integers& values);
  static Integers to_device(const Exec& exec, const std::vector<std::int32_t>& values);
  template <class Real>
  static Tensor2<Real> rows_of(std::map<std::uint64_t, Layer>& layers, std::uint64_t place,
                               std::int64_t num_rows, std::int64_t num_columns, bool& fresh);
  template <class Real>
  void reorder_layer(const Exec& exec, Layer& layer, Tensor1<const std::int32_t> from);

  std::int64_t num_sequences_, max_tokens_;
  Sequences keys_, source_keys_;
  Integers starts_, lengths_, prefixes_, places_, source_starts_;
  bool has_source_ = false;
  std::int64_t num_source_rows_ = 0;
  std::map<std::uint64_t, Layer> layers_, source_layers_;
  Bytes spare_;  // where a layer's rows go in another order
};

}  // namespace polyphase
