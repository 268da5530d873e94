// SPDX-License-Identifier: Apache-2.0
#include "recipe/generation_schema.hpp"

namespace polyphase::recipe {

void describe(Section& section, Generate& generate) {
  section.require("of", "the corpus whose texts are given to the model");
  section.value("of", generate.of);
  section.value("max_new_tokens", generate.max_new_tokens, at_least(1));
  section.value("temperature", generate.temperature, at_least(0));
  section.value("top_k", generate.top_k, at_least(0));
  section.value("top_p", generate.top_p, fraction_above_zero());
  section.value("beams", generate.beams, at_least(1));
  section.value("length_penalty", generate.length_penalty, finite());
}

}  // namespace polyphase::recipe
