// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/attention.hpp"

namespace polyphase {

enum class Direction { kForward, kBackward };

// Rotates pairs of columns (d, d + D/2) of every head in place by the angle position ·
// theta^(-2d/D) (Su et al., 2021, section 3.2.2, with the pairing of LLaMA's released code);
// backward rotates a gradient by the negative angle. positions_N: of the rows of x, at least as
// many. D is even. Keys that lie behind their queries in the same rows may be rotated in the same
// call, as further heads. Angles are reduced in float64: their sines and cosines are good to 1e-6
// up to position 2^31.
template <class Real>
void rotary(const Exec& exec, HeadColumns<Real> x, std::int64_t num_heads, std::int64_t head_width,
            Tensor1<const std::int32_t> positions_N, double theta, Direction direction);

}  // namespace polyphase
