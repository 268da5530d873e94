// SPDX-License-Identifier: Apache-2.0
#include "metrics/reference_numbers.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

namespace polyphase {

const nlohmann::json& reference_numbers(const std::string& section) {
  static const nlohmann::json all =
      nlohmann::json::parse(std::ifstream(POLYPHASE_METRICS_REFERENCE));
  return all.at(section);
}

void expect_same_digits(double value, double expected, const std::string& what) {
  EXPECT_NEAR(value, expected, 1e-9 * std::abs(expected) + 1e-15) << what;
}

}  // namespace polyphase
