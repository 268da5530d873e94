// SPDX-License-Identifier: Apache-2.0
#include "model/encoder_decoder.hpp"

#include "kernels/elementwise.hpp"
#include "model/key_value_cache.hpp"
#include "recipe/load.hpp"

namespace polyphase {
namespace {

constexpr std::uint64_t kDecoderPlaces = std::uint64_t{1} << 24;

// The decoder's layers are counted behind the encoder's.
ChunkLayers chunks_of(const ParameterSet& parameters, const recipe::Model& model,
                      const LayerCuts& cuts) {
  return {parameters, model.num_layers + recipe::num_decoder_layers_of(model), cuts};
}

}  // namespace

template <class Real>
EncoderDecoder<Real>::EncoderDecoder(ParameterSet& parameters, const Communicator& tensor,
                                     const recipe::Model& model, std::int64_t vocab_size,
                                     const LayerCuts& cuts)
    : width_(model.width),
      chunks_(chunks_of(parameters, model, cuts)),
      embedding_(parameters, tensor, model, recipe::num_token_ids(model, vocab_size),
                 chunks_that_embed(model)),
      encoder_(parameters, tensor, model, embedding_,
               {.num_layers = model.num_layers, .chunks = chunks_}),
      decoder_(parameters, tensor, model, embedding_,
               {.prefix = "decoder.",
                .num_layers = recipe::num_decoder_layers_of(model),
                .first_layer = model.num_layers,
                .chunks = chunks_,
                .causal = true,
                .first_place = kDecoderPlaces},
               &encoder_output_) {}

template <class Real>
std::vector<int> EncoderDecoder<Real>::chunks_that_embed(const recipe::Model& model) const {
  const int decoders = chunks_.chunk_of(model.num_layers);
  return decoders == 0 ? std::vector{0} : std::vector{0, decoders};
}

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
  source_pass_->links = pass.links;
  source_pass_->chunk = pass.chunk;
  encoder_output_.pass = &*source_pass_;
  if (pass.training) {
    encoder_output_.dhidden_SC = pass.exec.arena->take2<float>(source_pass_->num_rows, width_);
    fill(pass.exec, flat(encoder_output_.dhidden_SC), 0.0F);
  }
  if (encoder_.layers().any()) {
    encoder_output_.hidden_SC = encoder_.forward(*source_pass_);
    if (!encoder_.layers().has_last()) return {};
  } else {
    encoder_output_.hidden_SC = received_output(pass);
  }
  if (pass.has_chunk(Pass::kBehind)) send_output(pass);
  return decoder_.layers().any() ? decoder_.forward(pass) : Tensor2<const Real>();
}

// Chunks that decode get the encoder's output from the one before, and pass it on.
template <class Real>
Tensor2<const Real> EncoderDecoder<Real>::received_output(const Pass& pass) const {
  Arena& arena = *pass.exec.arena;
  const auto hidden_SC = arena.take2<Real>(source_pass_->num_rows, width_);
  const ArenaScope scope(arena);
  const auto sent_SC = arena.take2<float>(source_pass_->num_rows, width_);
  pass.receive(Pass::kBefore, sent_SC, Pass::Subject::kSource);
  convert<Real, float>(pass.exec, flat(hidden_SC), flat(Tensor2<const float>(sent_SC)));
  return hidden_SC;
}

template <class Real>
void EncoderDecoder<Real>::send_output(const Pass& pass) const {
  const ArenaScope scope(*pass.exec.arena);
  const auto sent_SC = pass.exec.arena->template take2<float>(source_pass_->num_rows, width_);
  convert<float, Real>(pass.exec, flat(sent_SC), flat(encoder_output_.hidden_SC));
  pass.send(Pass::kBehind, sent_SC, Pass::Subject::kSource);
}

// Gradients of the encoder's output add up from the last chunk on, as they do from the last layer
// on where one rank has all of them.
template <class Real>
void EncoderDecoder<Real>::backward(const Pass& pass, Tensor2<float> dhidden_NC,
                                    const typename Body<Real>::FinalFrom& final_from) {
  const Tensor2<float> doutput_SC = encoder_output_.dhidden_SC;
  const bool wanted = decoder_.feeder_is_trained();
  const bool encodes = encoder_.layers().any(), ends = encoder_.layers().has_last() || !encodes;
  if (wanted && ends && pass.has_chunk(Pass::kBehind))
    pass.receive(Pass::kBehind, doutput_SC, Pass::Subject::kSourceGradients);
  if (decoder_.layers().any()) decoder_.backward(pass, dhidden_NC, final_from);
  if (encodes) {
    if (ends) source_pass_->sum_own_rows(doutput_SC);
    encoder_.backward(*source_pass_, doutput_SC, final_from);
  } else if (wanted) {
    pass.send(Pass::kBefore, doutput_SC, Pass::Subject::kSourceGradients);
  }
}

template class EncoderDecoder<float>;
template class EncoderDecoder<bf16>;

}  // namespace polyphase
