// SPDX-License-Identifier: Apache-2.0
#include "model/body.hpp"

#include "model/encoder_decoder.hpp"
#include "model/one_stack.hpp"

namespace polyphase {

template <class Real>
std::unique_ptr<Body<Real>> make_body(ParameterSet& parameters, const Communicator& tensor,
                                      const recipe::Model& model, std::int64_t vocab_size,
                                      bool with_decoder, const LayerCuts& cuts) {
  if (with_decoder)
    return std::make_unique<EncoderDecoder<Real>>(parameters, tensor, model, vocab_size, cuts);
  const bool causal = model.family == recipe::Family::kGpt;
  return std::make_unique<OneStack<Real>>(parameters, tensor, model, vocab_size, causal, cuts);
}

template std::unique_ptr<Body<float>> make_body(ParameterSet&, const Communicator&,
                                                const recipe::Model&, std::int64_t, bool,
                                                const LayerCuts&);
template std::unique_ptr<Body<bf16>> make_body(ParameterSet&, const Communicator&,
                                               const recipe::Model&, std::int64_t, bool,
                                               const LayerCuts&);

}  // namespace polyphase
