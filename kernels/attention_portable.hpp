// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/attention.hpp"

namespace polyphase {

// Attention for any execution space, with the contract of attention.hpp: what a CUDA build runs,
// and on the host the second opinion that the host's own implementation is tested against. A team
// of threads makes one row of scores at a time. Gradients of keys and values are gathered by key,
// so that no sum depends on the order in which teams run.
template <class Real>
void attention_forward_portable(const Exec& exec, Tensor2<Real> out_NC, Tensor2<float> log_sum_NH,
                                const AttentionInput<Real>& input, const Dropout& dropout);

template <class Real>
void attention_backward_portable(const Exec& exec, HeadColumns<Real> dquery, HeadColumns<Real> dkey,
                                 HeadColumns<Real> dvalue, Tensor2<float> dpositions_UH,
                                 Write positions_write, Tensor2<const Real> dout_NC,
                                 Tensor2<const Real> out_NC, Tensor2<const float> log_sum_NH,
                                 const AttentionInput<Real>& input, const Dropout& dropout);

}  // namespace polyphase
