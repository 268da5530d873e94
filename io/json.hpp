// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace polyphase {

// Most of what is done with a JSON value takes stack for each level of it. Nothing of ours is nested
// so deep; a record of what made a checkpoint has some levels a phase.
inline constexpr int kMaxJsonLevels = 500;

// The value of a text from a file. Throws nlohmann::json::exception when it is no JSON, or nested
// deeper than kMaxJsonLevels.
nlohmann::json parse_json(std::string_view text);

// The same; a discarded value in place of what would be thrown.
nlohmann::json parse_json_or_discard(std::string_view text);

}  // namespace polyphase
