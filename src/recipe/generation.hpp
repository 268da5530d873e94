// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace polyphase::recipe {

// What a phase that makes a corpus writes: for every text of a given corpus, the text that the
// model of the phase it starts from makes of it (back-translation: Sennrich et al., 2016). How a
// text is chosen is as GenerationSettings in predict/generate.hpp has it.
struct Generate {
  std::string of;  // name of the given corpus; required
  std::int64_t max_new_tokens = 64;
  double temperature = 0.0;
  std::int64_t top_k = 0;
  double top_p = 1.0;
  std::int64_t beams = 1;
  double length_penalty = 1.0;
};

}  // namespace polyphase::recipe
