// SPDX-License-Identifier: Apache-2.0
#include "io/made_corpus.hpp"

#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/file.hpp"
#include "io/json.hpp"

namespace polyphase {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::optional<TextPair> pair_of(const std::string& line) {
  const json object = parse_json_or_discard(line);
  if (!object.is_object() || !object.contains("source") || !object.contains("target") ||
      !object["source"].is_string() || !object["target"].is_string())
    return std::nullopt;
  return TextPair{.source = object["source"], .target = object["target"]};
}

// A line that ends in a line end; a kill may have torn the last one.
bool next_whole_line(std::istream& stream, std::string& line) {
  return static_cast<bool>(std::getline(stream, line)) && !stream.eof();
}

}  // namespace

std::string to_line(const TextPair& pair) {
  const json object = {{"source", pair.source}, {"target", pair.target}};
  return object.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

std::vector<std::int64_t> leading_pairs(const fs::path& pairs,
                                        const std::function<bool(std::string&)>& next_given) {
  std::vector<std::int64_t> ends;
  std::int64_t num_bytes = 0;
  std::ifstream stream(pairs, std::ios::binary);
  std::string line, given;
  while (next_whole_line(stream, line) && next_given(given)) {
    const std::optional<TextPair> pair = pair_of(line);
    if (!pair || pair->target != given) break;
    num_bytes += static_cast<std::int64_t>(line.size()) + 1;
    ends.push_back(num_bytes);
  }
  return ends;
}

PairsSummary sum_up_pairs(const fs::path& pairs) {
  PairsSummary summary;
  StreamingDigest digest;
  std::ifstream stream(pairs, std::ios::binary);
  for (std::string line; std::getline(stream, line);) {
    const bool whole = !stream.eof();
    const std::optional<TextPair> pair = pair_of(line);
    if (!pair) {
      fail<DataError>(
          "{}:{}: is no pair of texts; remove the folder {}, and the same command "
          "makes the corpus again",
          pairs.string(), summary.num_pairs + 1, pairs.parent_path().string());
    }
    ++summary.num_pairs;
    if (pair->source.find_first_not_of(" \t") == std::string::npos) ++summary.num_empty;
    if (whole) line += '\n';
    digest.update(line.data(), line.size());
  }
  summary.digest = digest.value();
  return summary;
}

std::optional<Lineage> read_made_record(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::exists(folder / kMadeFile, ignored)) return std::nullopt;
  try {
    return parse_json(read_file(folder / kMadeFile)).get<Lineage>();
  } catch (const json::exception& error) {
    fail<DataError>(
        "{}: is no record of what made a corpus ({}); remove the folder {}, and the same command "
        "makes it again",
        (folder / kMadeFile).string(), error.what(), folder.string());
  }
}

void write_made_record(const fs::path& folder, const Lineage& record) {
  write_file_atomically(folder / kMadeFile, json(record).dump(1) + "\n");
}

std::optional<Lineage> read_made_corpus(const fs::path& folder) {
  const std::optional<Lineage> record = read_made_record(folder);
  std::error_code ignored;
  if (!record || record->digest.empty() || !fs::exists(folder / kPairsFile, ignored))
    return std::nullopt;
  const std::string now = sum_up_pairs(folder / kPairsFile).digest;
  if (now == record->digest) return record;
  fail<DataError>(
      "{}: its digest is {}, and {} vouches for {}; bring it back, or remove the folder {}, and "
      "the same command makes it again",
      (folder / kPairsFile).string(), now, kMadeFile, record->digest, folder.string());
}

}  // namespace polyphase
