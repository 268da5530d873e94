// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "recipe/iterate.hpp"
#include "recipe/section.hpp"

// The descriptions of what iterate.hpp holds, for the recipe's and a phase's.
namespace polyphase::recipe {

void describe(Section& section, Iterate& iterate);
void describe(Section& section, Gate& gate);

}  // namespace polyphase::recipe
