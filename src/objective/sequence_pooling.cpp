// SPDX-License-Identifier: Apache-2.0
#include "objective/sequence_pooling.hpp"

#include "kernels/rows.hpp"
#include "objective/objective.hpp"

namespace polyphase {

template <class Real>
auto SequencePooling<Real>::forward(const Pass& pass, Tensor2<const Real> hidden_NC) const
    -> Pooled {
  const Exec& exec = pass.exec;
  const std::int64_t b = pass.batch.num_sequences();
  Pooled pooled = {.rows_B =
                       upload(exec, pooling_ == recipe::Pooling::kLast ? last_rows(pass.batch)
                                                                       : first_rows(pass.batch))};
  pooled.x_BC = exec.arena->take2<Real>(b, width_);
  pooled.dx_BC = exec.arena->take2<float>(b, width_);
  if (pooling_ == recipe::Pooling::kMean) {
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
  if (pooling_ == recipe::Pooling::kMean) {
    mean_rows_backward(pass.exec, dhidden_NC, pooled.dx_BC, pass.sequences.starts);
  } else {
    scatter_rows(pass.exec, dhidden_NC, pooled.dx_BC, pooled.rows_B);
  }
}

template class SequencePooling<float>;
template class SequencePooling<bf16>;

}  // namespace polyphase
