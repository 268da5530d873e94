// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "model/body.hpp"

namespace polyphase {

// T5's pair of stacks (Raffel et al., 2020, section 2.1): the encoder reads the batch's source, the
// decoder its own rows and, by cross attention, the encoder's output. Both embed tokens by the same
// table. Of a pipeline's chunks the first have the encoder, the last the decoder, and one may have
// a part of both.
template <class Real>
class EncoderDecoder final : public Body<Real> {
 public:
  EncoderDecoder(ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model,
                 std::int64_t vocab_size, const LayerCuts& cuts);

  const EmbeddingLayer& embedding() const override { return embedding_; }
  Tensor2<const Real> forward(const Pass& pass) override;
  void backward(const Pass& pass, Tensor2<float> dhidden_NC,
                const typename Body<Real>::FinalFrom& final_from) override;
  std::vector<Stack<Real>*> stacks() override { return {&encoder_, &decoder_}; }

 private:
  std::vector<int> chunks_that_embed(const recipe::Model& model) const;
  Tensor2<const Real> received_output(const Pass& pass) const;
  void send_output(const Pass& pass) const;

  std::int64_t width_;
  ChunkLayers chunks_;
  EmbeddingLayer embedding_;
  EncoderOutput<Real> encoder_output_;
  Stack<Real> encoder_, decoder_;
  std::optional<Pass> source_pass_;
};

}  // namespace polyphase
