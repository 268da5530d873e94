// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

#include "io/shard.hpp"

namespace polyphase {

// What corpus.json, and the receipts of a preparation, say of a shard and of lines left out. The
// readers throw nlohmann::json::exception for missing or odd members.
nlohmann::json to_json(const ShardSummary& shard);
ShardSummary shard_from_json(const nlohmann::json& json);
nlohmann::json to_json(const SkippedLines& skipped);
SkippedLines skipped_from_json(const nlohmann::json& json);

}  // namespace polyphase
