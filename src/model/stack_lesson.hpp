// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "model/pass.hpp"

namespace polyphase {

template <class Real>
class Stack;

// Layer `student` of one stack learns from layer `teacher` of another; counted from 0.
struct LayerPair {
  std::int64_t student = 0, teacher = 0;
};

// The last layers, or each of the student's n layers i with the evenly spaced layer
// ⌊(i + 1)·N / n⌋ - 1 of the teacher's N ≥ n (Jiao et al., 2020, section 3.1, "uniform").
std::vector<LayerPair> paired_layers(std::int64_t num_student, std::int64_t num_teacher,
                                     recipe::MatchedLayers layers);

// What a student's stack learns from the inside of its teacher's: hidden states, by the mean
// squared difference, and the distributions of self-attention, by their divergence (Wang et al.,
// 2020). Each row's part is a mean over the paired layers, and over the width or the heads. Hidden
// states are those behind a layer, as the next one gets them along the residual stream; behind the
// last layer, the stack's output. The teacher's stack has made its pass over the same rows before
// the student's begins, and what it keeps stays until that is back. Where more is matched than
// output, the student passes over no layer.
//
// A chunk of a pipeline compares the attention of its own layers. Hidden states are compared by the
// chunk of the next layer, of the last one by its own: so their gradients join the chain of norms
// where they do on a rank with all layers. A teacher is cut where its student is
// (recipe::teacher_cuts), so that both layers of a pair are there.
template <class Real>
class StackLesson {
 public:
  // `of_output`: of the last layers alone, hidden states are matched where the stack's output is
  // the model's.
  StackLesson(Stack<Real>& student, Stack<Real>& teacher, const recipe::Distil& distil,
              bool of_output);
  StackLesson(const StackLesson&) = delete;
  StackLesson& operator=(const StackLesson&) = delete;

  // During the student's forward pass, the first one first. Layers that are compared elsewhere, or
  // not at all, may be named too; -1 is what is in front of the first.
  void begin(const Pass& pass);
  void hear_attention(const Pass& pass, std::int64_t layer);
  void hear_hidden(const Pass& pass, std::int64_t layer);

  // Whether this chunk compares anything.
  bool any() const;
  // What each pair adds to the sums over the rows of the last forward pass; 0 of what other chunks
  // compare. `pass` may be the model's other stack's. Collective over the tensor-parallel ranks;
  // all return the same.
  std::vector<double> hidden_sums(const Pass& pass) const;
  std::vector<double> attention_sums(const Pass& pass) const;

  // What the backward pass that follows multiplies the gradients of these sums with.
  void weigh_hidden(float scale) { hidden_scale_ = scale; }
  void weigh_attention(float scale);
  // Adds to the gradient of a layer's hidden states, if they are compared here.
  void add_hidden_gradient(const Pass& pass, Tensor2<float> dhidden_NC, std::int64_t layer);

 private:
  bool compares_hidden(const LayerPair& pair) const;
  bool compares_attention(const LayerPair& pair) const;
  // The number of the student's layer's pair; -1: it has none.
  std::int64_t pair_of(std::int64_t layer) const;
  void compare_hidden(const Pass& pass, Tensor2<float> dhidden_NC, std::int64_t layer) const;

  Stack<Real>&student_, &teacher_;
  std::vector<LayerPair> pairs_;  // of all chunks
  bool hidden_, attention_;
  float hidden_scale_ = 0.0F;
  std::int64_t num_heads_ = 0;  // of the whole model
  // Of the last forward pass: rows that are no padding, those that this rank compares hidden states
  // of, and for each pair that is compared here what it found.
  std::int64_t num_tokens_ = 0;
  Split own_tokens_;
  std::vector<Tensor1<float>> hidden_N_;
  std::vector<Tensor2<float>> divergence_NH_;
};

}  // namespace polyphase
