// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/exec.hpp"

namespace polyphase {

// Replaces x_RC by a matrix of the same singular vectors whose singular values lie near 1 (between
// about 0.7 and 1.2): five Newton-Schulz steps of the quintic polynomial of Muon (Jordan et al.,
// 2024, "Muon: An optimizer for hidden layers in neural networks"), in float32. A matrix of zeros
// stays one.
void orthogonalise(const Exec& exec, Tensor2<float> x_RC);

}  // namespace polyphase
