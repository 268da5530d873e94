// SPDX-License-Identifier: Apache-2.0
#include "corpus/index_parts.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "text/source.hpp"

namespace polyphase::prepare {

void add_to(SkippedLines& sum, const SkippedLines& more) {
  sum.count += more.count;
  for (const std::string& fault : more.first) {
    if (sum.first.size() < text::BadLineList::kMaxKept) sum.first.push_back(fault);
  }
}

void warn_of_skipped(const CorpusIndex& index) {
  for (const auto& [part, skipped] : index.skipped) {
    log_warning(
        "corpus {} ({}): {} bad line{} left out{}\n{}", index.name, part, skipped.count,
        skipped.count == 1 ? "" : "s",
        skipped.count > static_cast<std::int64_t>(skipped.first.size()) ? ", the first" : "",
        fmt::join(skipped.first, "\n"));
  }
}

PreparedPart sum_of(const CorpusIndex& index, const std::string& part) {
  PreparedPart made{index.name, part};
  for (const ShardSummary& shard : index.splits.at(part)) {
    made.num_documents += shard.num_documents;
    made.num_sentences += shard.num_sentences;
    made.num_tokens += shard.num_tokens;
    made.num_bytes += shard.num_bytes;
    made.num_words += shard.num_words;
    ++made.num_shards;
  }
  const auto skipped = index.skipped.find(part);
  if (skipped != index.skipped.end()) made.num_skipped = skipped->second.count;
  return made;
}

}  // namespace polyphase::prepare
