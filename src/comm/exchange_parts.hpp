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
// Of numbers of 16 bits, whatever they stand for.
void exchange_parts(const Communicator& ranks, std::uint16_t* data,
                    const std::vector<std::vector<ArrayPart>>& parts);

// A part that one rank has and all others are to get.
struct OwnedPart {
  int owner = 0;
  ArrayPart part;
};
// The parts of all ranks by rising begin, cut so that what lies in front arrives while the rest is
// still on its way.
std::vector<OwnedPart> pieces_from_front(const std::vector<std::vector<ArrayPart>>& parts);

// Gives every rank the sum over all ranks of its part of an array: parts[r] is rank r's, and begins
// where the one before ends. The bits are those of Communicator::sum(), with half the traffic; what
// is not the rank's own part is spoilt. Collective, and in place: of what a rank still sums, half
// goes to a partner, whose other half it adds. (Ranks that are no power of two sum all of it.)
void sum_parts(const Communicator& ranks, float* data, const std::vector<ArrayPart>& parts);

}  // namespace polyphase
