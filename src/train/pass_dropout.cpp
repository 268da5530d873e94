// SPDX-License-Identifier: Apache-2.0
#include "train/pass_dropout.hpp"

#include "base/philox.hpp"
#include "recipe/load.hpp"

namespace polyphase {

PassDropout dropout_of_step(const recipe::Recipe& recipe, const recipe::Phase& phase,
                            std::uint64_t phase_key, std::int64_t step) {
  return {.hidden = static_cast<float>(recipe::dropout_of(recipe, phase)),
          .attention = static_cast<float>(recipe::attention_dropout_of(recipe, phase)),
          .embedding = static_cast<float>(recipe::embedding_dropout_of(recipe, phase)),
          .head = static_cast<float>(recipe::head_dropout_of(recipe, phase)),
          .layers = static_cast<float>(recipe::layer_drop_of(recipe, phase)),
          .key = random_key(recipe.seed, Purpose::kDropout, {phase_key}),
          .step = step};
}

}  // namespace polyphase
