// SPDX-License-Identifier: Apache-2.0
#include "model/one_stack.hpp"

#include "recipe/load.hpp"

namespace polyphase {

template <class Real>
OneStack<Real>::OneStack(ParameterSet& parameters, const Communicator& tensor,
                         const recipe::Model& model, std::int64_t vocab_size, bool causal,
                         const LayerCuts& cuts)
    : embedding_(parameters, tensor, model, recipe::num_token_ids(model, vocab_size)),
      stack_(parameters, tensor, model, embedding_,
             {.num_layers = model.num_layers,
              .chunks = ChunkLayers(parameters, model.num_layers, cuts),
              .causal = causal}) {}

template class OneStack<float>;
template class OneStack<bf16>;

}  // namespace polyphase
