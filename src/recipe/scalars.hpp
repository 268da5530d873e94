// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "recipe/document.hpp"

// What a scalar means as a number; nothing when it means none.
namespace polyphase::recipe {

// Decimal digits, or a number that is whole, such as 5e3.
std::optional<std::int64_t> to_integer(const Node& node);
std::optional<std::uint64_t> to_unsigned(const Node& node);

// A finite decimal number.
std::optional<double> to_number(const Node& node);

// Seconds from "90", "1:30" or "0:01:30"; not negative, and minutes and seconds below 60 where a
// larger unit stands.
std::optional<double> to_seconds(const Node& node);

}  // namespace polyphase::recipe
