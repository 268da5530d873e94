// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "recipe/section.hpp"
#include "recipe/slurm.hpp"

namespace polyphase::recipe {

void describe(Section& section, SlurmJob& job);
void describe(Section& section, Slurm& slurm);

}  // namespace polyphase::recipe
