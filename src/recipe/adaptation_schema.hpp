// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "recipe/adaptation.hpp"
#include "recipe/section.hpp"

namespace polyphase::recipe {

// The keys of an Adaptation, which stand among those of its phase.
void describe(Section& section, Adaptation& adaptation);

void describe(Section& section, OtherRun& other);

}  // namespace polyphase::recipe
