// SPDX-License-Identifier: Apache-2.0
#include "model/encoder_decoder.hpp"

#include "kernels/elementwise.hpp"
#include "model/key_value_cache.hpp"
#include "recipe/load.hpp"

namespace polyphase {
namespace {

constexpr std::uint64_t kDecoderPlaces = std::uint64_t{1} << 24;

}  // namespace

template <class Real>
EncoderDecoder<Real>::EncoderDecoder(ParameterSet& parameters, const Communicator& tensor,
                                     const recipe::Model& model, std::int64_t vocab_size)
    : width_(model.width),
      embedding_(parameters, tensor, model, recipe::num_token_ids(model, vocab_size)),
      encoder_(parameters, tensor, model, embedding_, {.num_layers = model.num_layers}),
      decoder_(parameters, tensor, model, embedding_,
               {.prefix = "decoder.",
                .num_layers = recipe::num_decoder_layers_of(model),
                .causal = true,
                .first_place = kDecoderPlaces},
               &encoder_output_) {}

template <class Real>
Tensor2<const Real> EncoderDecoder<Real>::forward(const Pass& pass) {
  if (pass.cache != nullptr) {
    if (pass.cache->has_source()) return decoder_.forward(pass);
    pass.cache->begin_source(pass.exec, pass.batch.source);
  }
  source_pass_.reset();
  source_pass_.emplace(begin_pass(pass.exec, pass.tensor, pass.batch, pass.batch.source,
                                  pass.dropout, pass.training));
  source_pass_->recompute = pass.recompute;
  source_pass_->divides_rows = pass.divides_rows;
  encoder_output_.pass = &*source_pass_;
  if (pass.training) {
    encoder_output_.dhidden_SC = pass.exec.arena->take2<float>(source_pass_->num_rows, width_);
    fill(pass.exec, flat(encoder_output_.dhidden_SC), 0.0F);
  }
  encoder_output_.hidden_SC = encoder_.forward(*source_pass_);
  return decoder_.forward(pass);
}

template <class Real>
void EncoderDecoder<Real>::backward(const Pass& pass, Tensor2<float> dhidden_NC,
                                    const typename Body<Real>::FinalFrom& final_from) {
  decoder_.backward(pass, dhidden_NC, final_from);
  source_pass_->sum_own_rows(encoder_output_.dhidden_SC);
  encoder_.backward(*source_pass_, encoder_output_.dhidden_SC, final_from);
}

template class EncoderDecoder<float>;
template class EncoderDecoder<bf16>;

}  // namespace polyphase
