// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "model/embedding_layer.hpp"
#include "objective/softmax.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// The product from hidden states to the vocabulary's logits, with their cross-entropy. The
// vocabulary is split over the tensor-parallel ranks and worked on in blocks. Where not all logits
// fit, they exist for one block at a time, which is made once for the statistics and again for the
// gradient. The width of blocks is decided by the first pass, or by the last that was counted: for
// the largest number of rows, so that fewer rows never need more memory.
template <class Real>
class VocabularyOutput {
 public:
  struct Shape {
    bool tied = true;      // multiplies with the token table, else with the parameter NAME.weight
    bool has_bias = true;  // NAME.bias
    // All logits are kept where they take at most this: those of GPT-2's 50,257 tokens on 1,024
    // rows take 196 MiB, and to make them twice would cost such a step a tenth of its time.
    std::int64_t kept_bytes = std::int64_t{256} << 20;
    std::int64_t block_bytes = std::int64_t{32} << 20;  // of a block else: a processor's cache
  };
  VocabularyOutput(ParameterSet& parameters, const recipe::Model& model,
                   const EmbeddingLayer& embedding, const std::string& name, const Shape& shape);

  // y_MC: hidden states of the rows that predict labels_M; labels < 0 do not count. When the pass
  // trains, overwrites dy_MC (may be empty otherwise) with gradient_scale × the gradient of the
  // summed loss, whole on every tensor-parallel rank, and writes the parameters' gradients.
  SoftmaxOutcome run(const Pass& pass, Tensor2<const Real> y_MC, Tensor2<float> dy_MC,
                     const std::vector<std::int32_t>& labels_M, float gradient_scale,
                     const SoftmaxLoss& loss);

  // What this output says of y_MC's rows, which must stay where they are, to a student's.
  SoftTargets teach(const Pass& pass, Tensor2<const Real> y_MC) const;

  // Logits of this rank's part of the vocabulary, for generation. logits_MV: M × vocabulary().size.
  void logits(const Pass& pass, Tensor2<float> logits_MV, Tensor2<const Real> y_MC) const;
  Split vocabulary() const { return vocabulary_; }

 private:
  struct Block {
    std::int64_t first = 0, size = 0;  // columns of this rank's part of the vocabulary
  };
  void decide_blocks(std::int64_t num_rows, bool soft);
  std::vector<Block> blocks() const;
  void block_logits(const Pass& pass, Tensor2<float> logits_MK, Tensor2<const Real> y_MC,
                    const Block& block) const;
  void block_backward(const Pass& pass, Tensor2<float> dy_MC, Tensor2<const Real> dlogits_MK,
                      Tensor2<const Real> y_MC, const Block& block, Write table_write,
                      Write bias_write) const;

  ParameterSet& parameters_;
  std::size_t table_;
  std::optional<std::size_t> bias_;
  Split vocabulary_;
  std::int64_t num_classes_;
  std::int64_t kept_bytes_, block_bytes_;
  std::int64_t block_width_ = 0;  // columns; 0: not decided yet
  bool keeps_logits_ = true;      // of all blocks
};

}  // namespace polyphase
