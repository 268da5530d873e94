// SPDX-License-Identifier: Apache-2.0
#include "model/stack_lesson.hpp"

#include <algorithm>

#include "kernels/attention_divergence.hpp"
#include "kernels/distillation.hpp"
#include "model/stack.hpp"

namespace polyphase {

std::vector<LayerPair> paired_layers(std::int64_t num_student, std::int64_t num_teacher,
                                     recipe::MatchedLayers layers) {
  if (layers == recipe::MatchedLayers::kLast) return {{num_student - 1, num_teacher - 1}};
  POLYPHASE_PROMISE(num_teacher >= num_student, "{} layers cannot each have one of {} others",
                    num_student, num_teacher);
  std::vector<LayerPair> pairs;
  for (std::int64_t i = 0; i < num_student; ++i)
    pairs.push_back({i, (i + 1) * num_teacher / num_student - 1});
  return pairs;
}

template <class Real>
StackLesson<Real>::StackLesson(Stack<Real>& student, Stack<Real>& teacher,
                               const recipe::Distil& distil, bool of_output)
    : student_(student),
      teacher_(teacher),
      pairs_(paired_layers(student.num_layers(), teacher.num_layers(), distil.layers)),
      hidden_(distil.hidden > 0 && (of_output || distil.layers == recipe::MatchedLayers::kAll)),
      attention_(distil.attention > 0),
      num_heads_(student.num_heads()) {
  student.learn_from(this);
  if (!attention_) return;
  for (const LayerPair& pair : pairs_) teacher.keep_attention(pair.teacher);
}

template <class Real>
const LayerPair* StackLesson<Real>::pair_of(std::int64_t layer) const {
  const std::int64_t index = layer - pairs_.front().student;
  return index < 0 ? nullptr : &pairs_[static_cast<std::size_t>(index)];
}

template <class Real>
void StackLesson<Real>::begin(const Pass& pass) {
  Arena& arena = *pass.exec.arena;
  hidden_N_.clear();
  divergence_NH_.clear();
  // Padding rows are behind the last sequence.
  num_tokens_ = pass.rows.starts.back();
  own_tokens_ = pass.own();
  own_tokens_.size = std::clamp(num_tokens_ - own_tokens_.begin, std::int64_t{0}, own_tokens_.size);
  for (std::size_t p = 0; p < pairs_.size(); ++p) {
    if (hidden_) hidden_N_.push_back(arena.take1<float>(own_tokens_.size));
    if (attention_)
      divergence_NH_.push_back(arena.take2<float>(pass.num_rows, student_.num_local_heads()));
  }
}

template <class Real>
void StackLesson<Real>::hear_attention(const Pass& pass, std::int64_t layer) {
  const LayerPair* pair = pair_of(layer);
  if (!attention_ || pair == nullptr) return;
  attention_divergence<Real>(pass.exec, divergence_NH_[static_cast<std::size_t>(pair - &pairs_[0])],
                             student_.done_attention(pair->student),
                             teacher_.done_attention(pair->teacher));
}

template <class Real>
void StackLesson<Real>::hear_hidden(const Pass& pass, std::int64_t layer) {
  const LayerPair* pair = pair_of(layer);
  if (!hidden_ || pair == nullptr) return;
  compare_hidden(pass, hidden_N_[static_cast<std::size_t>(pair - &pairs_[0])], {}, *pair);
}

// The output of a stack is there in the model's precision, the residual stream in float32.
template <class Real>
void StackLesson<Real>::compare_hidden(const Pass& pass, Tensor1<float> losses_N,
                                       Tensor2<float> dhidden_NC, const LayerPair& pair) const {
  const float scale = hidden_scale_ / static_cast<float>(pairs_.size());
  if (pair.student + 1 == student_.num_layers()) {
    squared_difference<Real>(pass.exec, losses_N, dhidden_NC, pass.own_rows(student_.output()),
                             pass.own_rows(teacher_.output()), scale);
    return;
  }
  const ArenaScope scope(*pass.exec.arena);
  squared_difference<float>(pass.exec, losses_N, dhidden_NC,
                            student_.residual_behind(pass, pair.student),
                            teacher_.residual_behind(pass, pair.teacher), scale);
}

template <class Real>
void StackLesson<Real>::add_hidden_gradient(const Pass& pass, Tensor2<float> dhidden_NC,
                                            std::int64_t layer) {
  const LayerPair* pair = pair_of(layer);
  if (!hidden_ || pair == nullptr) return;
  compare_hidden(pass, hidden_N_[static_cast<std::size_t>(pair - &pairs_[0])], dhidden_NC, *pair);
}

template <class Real>
double StackLesson<Real>::hidden_sum(const Pass& pass) const {
  double sum = 0;
  for (const Tensor1<float>& losses_N : hidden_N_) {
    const std::vector<float> own_N = download<float>(pass.exec, losses_N);
    std::vector<float> all_N(static_cast<std::size_t>(num_tokens_));
    if (!own_N.empty()) std::copy(own_N.begin(), own_N.end(), all_N.begin() + own_tokens_.begin);
    if (pass.divides_rows && !pass.exec.counting())
      pass.tensor.sum(all_N.data(), static_cast<std::int64_t>(all_N.size()));
    for (const float loss : all_N) sum += loss;
  }
  return hidden_N_.empty() ? 0.0 : sum / static_cast<double>(hidden_N_.size());
}

// A rank has the divergences of its heads: rows are summed over the ranks.
template <class Real>
double StackLesson<Real>::attention_sum(const Pass& pass) const {
  double sum = 0;
  for (const Tensor2<float>& divergence_NH : divergence_NH_) {
    const auto num_heads = static_cast<std::int64_t>(divergence_NH.extent(1));
    const std::vector<float> all =
        download<float>(pass.exec, Tensor1<const float>(flat(divergence_NH)));
    std::vector<float> rows_N(divergence_NH.extent(0));
    for (std::size_t i = 0; i < all.size(); ++i) rows_N[i / num_heads] += all[i];
    if (pass.tensor.size() > 1 && !pass.exec.counting())
      pass.tensor.sum(rows_N.data(), static_cast<std::int64_t>(rows_N.size()));
    for (const float row : rows_N) sum += row;
  }
  const auto num_means = static_cast<std::int64_t>(divergence_NH_.size()) * num_heads_;
  return num_means == 0 ? 0.0 : sum / static_cast<double>(num_means);
}

template <class Real>
void StackLesson<Real>::weigh_attention(float scale) {
  const float mean =
      scale / static_cast<float>(static_cast<std::int64_t>(pairs_.size()) * num_heads_);
  for (const LayerPair& pair : pairs_)
    student_.teach_attention(pair.student, teacher_.done_attention(pair.teacher), mean);
}

template class StackLesson<float>;
template class StackLesson<bf16>;

}  // namespace polyphase
