// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "model/embedding_layer.hpp"
#include "model/linear.hpp"
#include "model/norm_layer.hpp"
#include "objective/objective.hpp"
#include "objective/softmax.hpp"

namespace polyphase {

// Masked language model (Devlin et al., 2019, section 3.1 and the released code's head): transform,
// GELU, layer norm, then the token table as output projection plus a bias. Only masked rows are
// computed, the vocabulary is split over the tensor-parallel ranks, and logits exist for one block
// of it at a time.
template <class Real>
class MaskedLanguageModel final : public Objective<Real> {
 public:
  // Logits of a block take at most block_bytes; the default keeps them in a processor's cache.
  MaskedLanguageModel(ParameterSet& parameters, const Communicator& tensor,
                      const recipe::Model& model, const EmbeddingLayer& embedding,
                      std::int64_t vocab_size, std::int64_t block_bytes = std::int64_t{32} << 20);

  std::string name() const override { return "mlm"; }
  std::int64_t num_terms(const Batch& batch) const override;
  Tally run(const Pass& pass, Tensor2<const Real> hidden_NC, Tensor2<float> dhidden_NC,
            float gradient_scale) override;
  std::map<std::string, double> metrics(const Tally& total) const override;

 private:
  struct Transformed {  // of the masked rows, in the arena
    Tensor1<const std::int32_t> rows_M;
    Tensor2<Real> x_MC, y_MC;
    Tensor2<float> hidden_MC;  // before GELU
  };
  struct Block {
    std::int64_t first = 0, size = 0;  // columns of this rank's part of the vocabulary
  };

  Transformed transform(const Pass& pass, Tensor2<const Real> hidden_NC);
  void transform_backward(const Pass& pass, const Transformed& t, Tensor2<const float> dy_MC,
                          Tensor2<float> dhidden_NC);
  std::vector<Block> blocks(std::int64_t num_rows) const;
  void block_logits(const Pass& pass, Tensor2<float> logits_MK, Tensor2<const Real> y_MC,
                    const Block& block) const;
  void block_backward(const Pass& pass, Tensor2<float> dy_MC, Tensor2<const Real> dlogits_MK,
                      Tensor2<const Real> y_MC, const Block& block, Write table_write,
                      Write bias_write) const;

  ParameterSet& parameters_;
  Linear transform_;
  NormLayer<Real> norm_;
  std::size_t table_, bias_ = 0;
  Split vocabulary_;
  std::int64_t width_;
  std::int64_t block_bytes_;
};

}  // namespace polyphase
