// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "plan/layouts.hpp"

namespace polyphase {

// Time of a step of every phase, what goes over each link, and what is stored.
std::string time_tables(const recipe::Recipe& recipe, std::int64_t num_ranks,
                        const Machine& machine, const PhaseCosts& costs);

// The best layouts of so many ranks, or what to change where none fits.
std::string layout_table(const recipe::Recipe& recipe, std::int64_t num_ranks,
                         const Machine& machine, const PhaseCosts& costs);

}  // namespace polyphase
