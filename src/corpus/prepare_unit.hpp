// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "corpus/prepare_plan.hpp"
#include "io/shard.hpp"
#include "text/tokenizer.hpp"

namespace polyphase::prepare {

// What a finished unit left: CORPUS/parts/PART-NNNN.json, written after its shards. A unit without
// a receipt that carries its key has not been made.
struct Receipt {
  std::vector<std::pair<std::string, ShardSummary>> shards;  // part and shard
  SkippedLines skipped;                                      // of the unit's part
};

std::filesystem::path receipt_path(const std::filesystem::path& corpus_folder,
                                   const std::string& stem);

// The receipt of a unit with this key, whose shard files are there with the sizes it names; else
// nothing.
std::optional<Receipt> read_receipt(const std::filesystem::path& corpus_folder,
                                    const std::string& stem, const std::string& key);

// Tokenises a unit into its shards and leaves the receipt. Throws DataError with file:line for a
// bad line (unless they are to be skipped), a text of a sample that nothing is left of, a label or
// an answer that cannot be stored, and what the readers throw.
Receipt make_unit(const std::filesystem::path& corpus_folder, const Plan& plan, const Unit& unit,
                  const std::string& corpus_name, const text::Tokenizer& tokenizer);

}  // namespace polyphase::prepare
