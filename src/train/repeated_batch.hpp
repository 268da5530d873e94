// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "corpus/batch.hpp"

namespace polyphase {

// All sequences of the batch, and behind them all of them once more, with all that is known about
// them. The copies draw other masks of dropout: their row ids have a bit that no sample's has.
Batch repeated(const Batch& batch);

}  // namespace polyphase
