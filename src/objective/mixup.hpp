// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "corpus/batch.hpp"

namespace polyphase {

// MixUp (Zhang et al., 2018) of sentences (Guo et al., 2019: "senMixup"): what a head sees of a
// sequence is share · its own pooled state + (1 - share) · another's, and so is what it is to say.
struct MixUp {
  double alpha = 0.0;     // of the shares' distribution Beta(alpha, alpha); 0: no MixUp; at most 1
  std::uint64_t key = 0;  // of (seed, phase)
};

// How the B sequences of a micro-batch are mixed: sequence b with (b + shift) mod B. Functions of
// the key and of the global samples, so the same wherever the micro-batch is computed.
struct MixedPairs {
  std::int64_t shift = 0;      // above 0 where there are two sequences
  std::vector<float> share_B;  // of the sequence itself
};
MixedPairs draw_pairs(const MixUp& mixup, const Batch& batch);

}  // namespace polyphase
