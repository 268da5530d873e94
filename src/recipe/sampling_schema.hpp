// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "recipe/sampling.hpp"
#include "recipe/section.hpp"

namespace polyphase::recipe {

// The keys of a phase that say what it takes of its corpora; they stand beside its other keys.
void describe_sampling(Section& section, Sampling& sampling);

}  // namespace polyphase::recipe
