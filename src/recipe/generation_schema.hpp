// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "recipe/generation.hpp"
#include "recipe/section.hpp"

namespace polyphase::recipe {

void describe(Section& section, Generate& generate);

}  // namespace polyphase::recipe
