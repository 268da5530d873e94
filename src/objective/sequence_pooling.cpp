// SPDX-License-Identifier: Apache-2.0
#include "objective/sequence_pooling.hpp"

#include <algorithm>

#include "kernels/pair_features.hpp"
#include "kernels/rows.hpp"
#include "objective/objective.hpp"

namespace polyphase {
namespace {

// Where each sequence's first and second text begin, and the end: its second text is what
// has that segment.
std::vector<std::int32_t> starts_of_texts(const Batch& batch) {
  std::vector<std::int32_t> starts;
  for (std::int64_t b = 0; b < batch.num_sequences(); ++b) {
    const auto begin = batch.segments_N.begin() + batch.starts[b];
    const auto end = batch.segments_N.begin() + batch.starts[b + 1];
    const auto second = std::find_if(begin, end, in_second_text);
    starts.push_back(batch.starts[b]);
    starts.push_back(batch.starts[b] + static_cast<std::int32_t>(second - begin));
  }
  starts.push_back(batch.starts.back());
  return starts;
}

// The rows of pairs as those of their texts.
template <class Value>
Tensor2<Value> text_rows(const Tensor2<Value>& pairs_B2W) {
  return Tensor2<Value>(pairs_B2W.data(), 2 * pairs_B2W.extent(0), pairs_B2W.extent(1) / 2);
}

}  // namespace

template <class Real>
auto SequencePooling<Real>::forward(const Pass& pass, Tensor2<const Real> hidden_NC) const
    -> Pooled {
  const Exec& exec = pass.exec;
  const std::int64_t b = pass.batch.num_sequences();
  Pooled pooled = {.rows_B =
                       upload(exec, pooling_ == recipe::Pooling::kLast ? last_rows(pass.batch)
                                                                       : first_rows(pass.batch))};
  pooled.x_BC = exec.arena->take2<Real>(b, width());
  pooled.dx_BC = exec.arena->take2<float>(b, width());
  if (pooling_ == recipe::Pooling::kPair) {
    pooled.starts_2B = upload(exec, starts_of_texts(pass.batch));
    pooled.texts_B2W = exec.arena->take2<Real>(b, 2 * width_);
    mean_rows<Real>(exec, text_rows(pooled.texts_B2W), hidden_NC, pooled.starts_2B);
    pair_features_forward<Real>(exec, pooled.x_BC, pooled.texts_B2W);
  } else if (pooling_ == recipe::Pooling::kMean) {
    mean_rows<Real>(exec, pooled.x_BC, hidden_NC, pass.sequences.starts);
  } else {
    gather_rows<Real>(exec, pooled.x_BC, hidden_NC, pooled.rows_B);
  }
  pooled.dropout = pass.dropout_at(kHeadPlace, pass.dropout.head);
  std::vector<std::uint64_t> ids_B;  // a sequence is keyed by its first row
  for (std::int64_t s = 0; s < b; ++s) ids_B.push_back(pass.batch.row_ids_N[pass.batch.starts[s]]);
  pooled.dropout.row_ids_N = upload(exec, ids_B);
  dropout_apply<Real>(exec, pooled.x_BC, pooled.dropout);
  return pooled;
}

template <class Real>
void SequencePooling<Real>::backward(const Pass& pass, const Pooled& pooled,
                                     Tensor2<float> dhidden_NC) const {
  dropout_apply<float>(pass.exec, pooled.dx_BC, pooled.dropout);
  if (pooling_ == recipe::Pooling::kPair) {
    const auto dtexts_B2W = pass.exec.arena->take2<float>(pooled.dx_BC.extent(0), 2 * width_);
    pair_features_backward<Real>(pass.exec, dtexts_B2W, pooled.dx_BC, pooled.texts_B2W);
    mean_rows_backward(pass.exec, dhidden_NC, text_rows(dtexts_B2W), pooled.starts_2B);
  } else if (pooling_ == recipe::Pooling::kMean) {
    mean_rows_backward(pass.exec, dhidden_NC, pooled.dx_BC, pass.sequences.starts);
  } else {
    scatter_rows(pass.exec, dhidden_NC, pooled.dx_BC, pooled.rows_B);
  }
}

template class SequencePooling<float>;
template class SequencePooling<bf16>;

}  // namespace polyphase
