// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "corpus/batch.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// A made-up micro-batch of `samples` samples as a phase's usual ones are, of samples as long as they
// may be: what a step's time is planned from. (largest_batch, which is made for memory, may have
// other extents: windows may hold as many sequences as rows, and a whole text may be masked.) Each
// sample is one sequence, with the usual share masked; of span corruption and of texts in two parts
// the source and the target are as long as those of one text. Of tasks that write a text from a text
// both may be as long as any.
Batch usual_batch(const recipe::Recipe& recipe, const recipe::Phase& phase, std::int64_t samples);

}  // namespace polyphase
