// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/exec.hpp"

namespace polyphase {

// Elements [begin, end) of a tensor.
struct ElementRange {
  std::int64_t begin = 0, end = 0;
};

// The sum of squares of each range in float64, in one launch for all of them. A sum depends on its
// range's own elements alone, whatever other ranges there are and whatever the number of threads.
std::vector<double> sums_of_squares(const Exec& exec, Tensor1<const float> x,
                                    const std::vector<ElementRange>& ranges);

}  // namespace polyphase
