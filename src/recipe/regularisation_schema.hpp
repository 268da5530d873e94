// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "recipe/regularisation.hpp"
#include "recipe/section.hpp"

namespace polyphase::recipe {

// The keys stand among the phase's own.
void describe(Section& section, Regularisation& regularisation);

}  // namespace polyphase::recipe
