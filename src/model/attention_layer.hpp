// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "kernels/attention_divergence.hpp"
#include "kernels/rotary.hpp"
#include "model/relative_table.hpp"
#include "model/sublayer.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// Turns heads by the places of their tokens (kernels/rotary.hpp), where a model has rotary
// positions.
class RotaryPositions {
 public:
  explicit RotaryPositions(const recipe::Model& model)
      : theta_(model.positions == recipe::Positions::kRotary ? model.rotary_theta : 0.0) {}

  // The first `num_heads` heads of the rows of `pass`, which is where they belong.
  template <class Real>
  void turn(const Pass& pass, Tensor2<Real> rows_NQ, int num_heads, int head_width,
            Direction direction) const {
    if (theta_ != 0.0)
      rotary<Real>(pass.exec, {rows_NQ, 0}, num_heads, head_width, pass.positions_N, theta_,
                   direction);
  }

 private:
  double theta_;  // 0: none
};

// Attention of a stack's rows to themselves. Heads are split over the tensor-parallel ranks.
template <class Real>
class SelfAttention final : public Sublayer<Real> {
 public:
  SelfAttention(ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model,
                const std::string& name, const RelativeTable& relative, bool causal);

  void forward(const Pass& pass, Tensor2<float> update_NC, Tensor2<const Real> y_NC,
               std::uint64_t place) override;
  void backward(const Pass& pass, Tensor2<float> dy_NC, Tensor2<const Real> dupdate_NC,
                Tensor2<const Real> y_NC) override;
  const Linear& output() const override { return output_; }

  // Distillation. Takes the memory of what done() gives in front of the next forward pass, so that
  // the rest of that can be given back.
  void reserve(const Pass& pass);
  // The last forward pass.
  DoneAttention<Real> done(const Pass& pass) const { return {input(pass), log_sum_NH_}; }
  std::int64_t num_local_heads() const { return shape_.num_heads; }
  // The backward pass that follows adds scale × gradient of the divergence from the teacher's.
  void learn_from(const DoneAttention<Real>& teacher, float scale);

 private:
  AttentionInput<Real> input(const Pass& pass) const;
  Tensor2<Real> cached_rows(const Pass& pass) const;
  void turn(const Pass& pass, Tensor2<Real> qkv_NQ, Direction direction) const;

  Linear query_key_value_, output_;
  const RelativeTable& relative_;
  AttentionShape shape_;
  RotaryPositions rotary_;
  Tensor2<Real> qkv_NQ_, heads_NC_;
  Tensor2<float> log_sum_NH_;
  std::uint64_t place_ = 0;
  bool reserved_ = false;
  std::optional<DoneAttention<Real>> teacher_;
  float teacher_scale_ = 0.0F;
};

// What a decoder attends to: the encoder's rows of the same micro-batch.
template <class Real>
struct EncoderOutput {
  const Pass* pass = nullptr;
  Tensor2<const Real> hidden_SC;
  // Gradients of all cross attentions add up here: this tensor-parallel rank's partial sum.
  Tensor2<float> dhidden_SC;
};

// Attention of a decoder's rows to the encoder's output. With rotary positions, scores
// depend on the difference of the two places, each counted from the begin of its own text.
template <class Real>
class CrossAttention final : public Sublayer<Real> {
 public:
  CrossAttention(ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model,
                 const std::string& name, const EncoderOutput<Real>& encoder);

  void forward(const Pass& pass, Tensor2<float> update_NC, Tensor2<const Real> y_NC,
               std::uint64_t place) override;
  void backward(const Pass& pass, Tensor2<float> dy_NC, Tensor2<const Real> dupdate_NC,
                Tensor2<const Real> y_NC) override;
  const Linear& output() const override { return output_; }

 private:
  AttentionInput<Real> input(const Pass& pass) const;
  void make_keys_and_values(const Pass& pass);

  Linear query_, key_value_, output_;
  const EncoderOutput<Real>& encoder_;
  AttentionShape shape_;
  RotaryPositions rotary_;
  Tensor2<Real> query_NC_, key_value_SK_, heads_NC_;
  Tensor2<float> log_sum_NH_;
  std::uint64_t place_ = 0;
};

}  // namespace polyphase
