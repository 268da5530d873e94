// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "kernels/dropout.hpp"
#include "kernels/exec.hpp"

namespace polyphase {

// The sequences of a micro-batch: sequence b is rows [starts[b], starts[b+1]) of a tensor over N. N
// may be larger than starts[B]: rows behind the last sequence are padding, get zero outputs and
// zero gradients.
struct Sequences {
  std::vector<std::int32_t> starts_host;  // B + 1 values
  Tensor1<const std::int32_t> starts;     // the same in the execution space's memory
  std::int64_t max_tokens = 0;            // the longest sequence
  // As keys of a prefix language model: causal attention sees the first prefix[b] keys of sequence
  // b from everywhere. B values, or empty: none.
  std::vector<std::int32_t> prefix_host = {};
  Tensor1<const std::int32_t> prefix = {};  // the same in the execution space's memory

  // As keys of a forward pass: sequence b is the first lengths[b] rows from starts[b] only, as in a
  // key/value cache with room to grow. B values, or empty: all rows.
  std::vector<std::int32_t> lengths_host = {};
  Tensor1<const std::int32_t> lengths = {};  // the same in the execution space's memory

  std::int64_t num_sequences() const { return static_cast<std::int64_t>(starts_host.size()) - 1; }
};

// Heads of width D that lie side by side in a tensor's rows: head h is columns [first_column + h·D,
// first_column + (h + 1)·D).
template <class Real>
struct HeadColumns {
  Tensor2<Real> rows;
  std::int64_t first_column = 0;

  std::int64_t row_stride() const { return static_cast<std::int64_t>(rows.extent(1)); }
  Real* at(std::int64_t row, std::int64_t head, std::int64_t head_width) const {
    return rows.data() + row * row_stride() + first_column + head * head_width;
  }
};

// Query head h reads key head h / (num_heads / num_key_heads): grouped-query attention (Ainslie et
// al., 2023) where there are fewer of those, and num_heads is a multiple of their number.
struct AttentionShape {
  std::int64_t num_heads = 0;      // query heads of this rank
  std::int64_t num_key_heads = 0;  // heads of keys and values of this rank
  std::int64_t head_width = 0;     // D
  std::int64_t first_head = 0;     // this rank's first query head of the whole model: keys dropout
  float score_scale = 0.0F;        // positive; 1/sqrt(D) in most models, 1 in T5
  // Query r of Q stands at key position K - Q + r and sees the keys up to there: with a key/value
  // cache there are fewer queries than keys.
  bool causal = false;
};

// Relative positions (Raffel et al., 2020, section 2.1): the scaled score of a query and a key gets
// table_UH[bucket of (key position - query position)][query head of this rank], buckets as in
// relative_positions.hpp. Queries stand at the positions given with AttentionShape::causal, causal
// or not. An empty table: none.
struct RelativePositions {
  Tensor2<const float> table_UH = {};
  bool bidirectional = true;
  std::int64_t max_distance = 128;  // from here on all distances share a bucket
  // Of all offsets, as position_buckets() makes them for calls of these lengths; empty: every call
  // makes its own.
  Tensor1<const std::int32_t> buckets = {};
};

// What attention reads. Query, key and value may be columns of one tensor.
template <class Real>
struct AttentionInput {
  HeadColumns<const Real> query;       // N rows
  HeadColumns<const Real> key, value;  // S rows
  const Sequences& queries;            // rows of query, out and log_sum
  const Sequences& keys;               // rows of key and value; as many sequences as there are of
                                       // queries, the same object for self attention
  AttentionShape shape;
  RelativePositions positions = {};
};

// Scaled dot-product attention of each sequence's queries to the same sequence's keys (Vaswani et
// al., 2017, eq. 1). Writes out_NC (C = num_heads × D) and log_sum_NH: the logarithm of the softmax
// denominator of each row and head, which the backward pass needs. A query that sees no key gets
// zeros. Dropout falls on the probabilities, keyed by (row id of the query, key position, query
// head of the whole model). Workspace grows linearly with the longest sequence: scores are made for
// a block of queries at a time.
template <class Real>
void attention_forward(const Exec& exec, Tensor2<Real> out_NC, Tensor2<float> log_sum_NH,
                       const AttentionInput<Real>& input, const Dropout& dropout);

// Overwrites the columns of dquery, dkey and dvalue, which lie as their inputs do; the gradient of
// a key head is the sum over the query heads that read it. dpositions_UH, unless empty, is
// overwritten or added to: a sum over each sequence's scores, then over the sequences in order.
// Probabilities are computed again from input and log_sum.
template <class Real>
void attention_backward(const Exec& exec, HeadColumns<Real> dquery, HeadColumns<Real> dkey,
                        HeadColumns<Real> dvalue, Tensor2<float> dpositions_UH,
                        Write positions_write, Tensor2<const Real> dout_NC,
                        Tensor2<const Real> out_NC, Tensor2<const float> log_sum_NH,
                        const AttentionInput<Real>& input, const Dropout& dropout);

}  // namespace polyphase
