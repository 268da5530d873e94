// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/tree_stages.hpp"

namespace polyphase {

// Gives every rank the parts of an array that each of the others has: parts[r] are rank r's. All
// ranks name the same parts, none of which overlap; other elements stay as they are. Collective,
// and in place: parts go round in a ring, from each rank to its neighbour, so that each rank sends
// and receives every part but one once.
void exchange_parts(const Communicator& ranks, float* data,
                    const std::vector<std::vector<ArrayPart>>& parts);

}  // namespace polyphase
