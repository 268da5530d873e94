// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace polyphase::recipe {

// What happens when a training step goes wrong: it is skipped; after too many in a row, training
// goes back to the last checkpoint, and on from there with what is declared here.
struct Guard {
  // A loss is a spike so many deviations above the median of the losses before (train/guard.hpp);
  // 0: only what is not finite is wrong.
  double spike = 6.0;
  std::int64_t max_skipped = 3;      // in a row
  std::int64_t max_rollbacks = 2;    // in a phase; then it fails
  double learning_rate_scale = 0.5;  // from the checkpoint on, once for each rollback
  bool skip_data = true;             // samples since the checkpoint are not seen again
};

}  // namespace polyphase::recipe
