// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "io/lineage.hpp"

namespace polyphase::report {

// What made a checkpoint as a tree, a line each, the youngest first; parents are indented.
std::vector<std::string> lineage_lines(const Lineage& lineage);

}  // namespace polyphase::report
