// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/attention.hpp"

namespace polyphase {

// Attention whose forward pass is done: what its probabilities can be made of again.
template <class Real>
struct DoneAttention {
  AttentionInput<Real> input;
  Tensor2<const float> log_sum_NH;
};

// How far a student's attention lies from a teacher's (Wang et al., 2020, eq. 6), for queries and
// keys of the same sequences, as many heads, and the same keys seen; width, number and scale of key
// heads and positions are each model's own. With s and t the probabilities of the keys that a query
// sees, before dropout, divergence_NH of the query and head is Σ t (log t - log s); 0 for what sees
// nothing and for padding. Scores are made for a block of queries at a time.
template <class Real>
void attention_divergence(const Exec& exec, Tensor2<float> divergence_NH,
                          const DoneAttention<Real>& student, const DoneAttention<Real>& teacher);

// Adds scale × gradient of the sum of all divergences to dquery and dkey, which lie as the
// student's input does, and, unless empty, to dpositions_UH. By a score it is s - t. Padding gets
// nothing.
template <class Real>
void attention_divergence_backward(const Exec& exec, HeadColumns<Real> dquery,
                                   HeadColumns<Real> dkey, Tensor2<float> dpositions_UH,
                                   const DoneAttention<Real>& student,
                                   const DoneAttention<Real>& teacher, float scale);

// The same for any execution space, a row of scores at a time: what a CUDA build runs, and on the
// host a second opinion for tests.
template <class Real>
void attention_divergence_portable(const Exec& exec, Tensor2<float> divergence_NH,
                                   const DoneAttention<Real>& student,
                                   const DoneAttention<Real>& teacher);
template <class Real>
void attention_divergence_backward_portable(const Exec& exec, HeadColumns<Real> dquery,
                                            HeadColumns<Real> dkey, Tensor2<float> dpositions_UH,
                                            const DoneAttention<Real>& student,
                                            const DoneAttention<Real>& teacher, float scale);

// Breaks off unless both see the same.
template <class Real>
void check_divergence(const DoneAttention<Real>& student, const DoneAttention<Real>& teacher) {
  const AttentionInput<Real>&own = student.input, &other = teacher.input;
  POLYPHASE_PROMISE(own.shape.num_heads == other.shape.num_heads &&
                        own.shape.first_head == other.shape.first_head &&
                        own.shape.causal == other.shape.causal,
                    "attention of {} heads cannot learn from that of {}", own.shape.num_heads,
                    other.shape.num_heads);
  POLYPHASE_PROMISE(own.queries.starts_host == other.queries.starts_host &&
                        own.keys.starts_host == other.keys.starts_host &&
                        own.keys.prefix_host == other.keys.prefix_host,
                    "attention of {} sequences cannot learn from that of {} others",
                    own.queries.num_sequences(), other.queries.num_sequences());
}

}  // namespace polyphase
