// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "corpus/batch.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// A made-up micro-batch as large as any of this phase's can be: `samples` samples of max_tokens
// tokens, of a corpus with num_labels labels. Where samples take turns, every objective finds all
// of them its own.
Batch largest_batch(const recipe::Recipe& recipe, const recipe::Phase& phase, std::int64_t samples,
                    std::int64_t num_labels);

}  // namespace polyphase
