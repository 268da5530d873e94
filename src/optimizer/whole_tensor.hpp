// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/communicator.hpp"
#include "model/parameters.hpp"

namespace polyphase {

// A sum of this rank's elements of a parameter → that of the whole parameter, the same on every
// tensor-parallel rank.
double whole_sum(const Exec& exec, const Communicator& tensor, const Parameter& parameter,
                 double mine);

// Euclidean norm of a whole tensor of which this rank holds `mine`, split as the parameter is.
double whole_norm(const Exec& exec, const Communicator& tensor, const Parameter& parameter,
                  Tensor1<const float> mine);

// The whole matrix of which this rank holds `mine`, split as the parameter is; from exec.arena, and
// the caller's to give back. Every rank gets the same elements, to the last bit.
Tensor2<float> whole_matrix(const Exec& exec, const Communicator& tensor,
                            const Parameter& parameter, Tensor1<const float> mine);
// The way back: this rank's part of the whole matrix.
void take_part(const Exec& exec, const Parameter& parameter, Tensor1<float> mine,
               Tensor2<const float> whole);

}  // namespace polyphase
