// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

namespace polyphase {

// The sum of values along the binary tree of docs/design.md, 5: neighbours first, then
// pairs of neighbours. With a power of two of values, the sum of each half is the sum that a rank
// which holds that half has made.
inline double fixed_tree_sum(std::span<const double> values) {
  if (values.empty()) return 0;
  if (values.size() == 1) return values[0];
  std::size_t half = 1;
  while (2 * half < values.size()) half *= 2;
  return fixed_tree_sum(values.first(half)) + fixed_tree_sum(values.subspan(half));
}

}  // namespace polyphase
