// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "io/lineage.hpp"

namespace polyphase {

// A corpus that a phase makes lies in the phase's folder (io/FORMATS.md): pairs.jsonl, a pair of
// texts a line in the order of the given texts, and made.json, the record of what makes it. The
// record has a digest, that of pairs.jsonl, only when the corpus is complete.
inline constexpr const char* kPairsFile = "pairs.jsonl";
inline constexpr const char* kMadeFile = "made.json";

struct TextPair {
  std::string source, target;  // what was made; what it was made of
};

// A line of pairs.jsonl, with its end.
std::string to_line(const TextPair& pair);

// The leading lines of `pairs` that are whole and whose targets are what `next_given` gives, in
// order: the number of bytes up to each of their ends. What stands behind them is of no use: a kill
// tore it, or the given texts are others now.
std::vector<std::int64_t> leading_pairs(const std::filesystem::path& pairs,
                                        const std::function<bool(std::string&)>& next_given);

// What all of `pairs` comes to.
struct PairsSummary {
  std::string digest;  // of the bytes
  std::int64_t num_pairs = 0;
  std::int64_t num_empty = 0;  // of which nothing was made
};
PairsSummary sum_up_pairs(const std::filesystem::path& pairs);

// The record as it stands; none where there is none. DataError for a file that is no record.
std::optional<Lineage> read_made_record(const std::filesystem::path& folder);
void write_made_record(const std::filesystem::path& folder, const Lineage& record);

// The record of a complete corpus; none where there is none, or pairs.jsonl is gone. DataError when
// that is not the text that the record vouches for.
std::optional<Lineage> read_made_corpus(const std::filesystem::path& folder);

}  // namespace polyphase
