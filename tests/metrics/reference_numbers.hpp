// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace polyphase {

// A section of reference/metrics.json: inputs, and the numbers of the tools that reference/make.py
// ran.
const nlohmann::json& reference_numbers(const std::string& section);

// Expects equality to all digits that anyone prints; 1e-9 is far above what the order of a sum
// changes in double precision.
void expect_same_digits(double value, double expected, const std::string& what);

}  // namespace polyphase
