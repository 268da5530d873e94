// SPDX-License-Identifier: Apache-2.0
#include "corpus/prepare_unit.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/error.hpp"
#include "corpus/encode_sample.hpp"
#include "io/file.hpp"
#include "io/json.hpp"
#include "io/shard_json.hpp"
#include "text/source.hpp"

namespace polyphase::prepare {
namespace {

namespace fs = std::filesystem;

// The one or two shards of a unit; a shard begins with its first document.
class ShardSet {
 public:
  ShardSet(fs::path folder, std::int64_t number, ShardHeader header)
      : folder_(std::move(folder)), number_(number), header_(std::move(header)) {}

  void append(const std::string& part, const ShardText& document, const TextCounts& counts) {
    Shard& shard = shards_[part];
    if (!shard.writer) {
      header_.split = part;
      shard.writer =
          std::make_unique<ShardWriter>(folder_ / (shard_stem(part, number_) + ".h5"), header_);
    }
    shard.writer->append(document);
    shard.counts.num_bytes += counts.num_bytes;
    shard.counts.num_words += counts.num_words;
    shard.counts.num_lines += counts.num_lines;
  }

  Receipt finish() {
    Receipt receipt;
    for (auto& [part, shard] : shards_) {
      ShardSummary summary = shard.writer->finish();
      summary.num_bytes = shard.counts.num_bytes;
      summary.num_words = shard.counts.num_words;
      summary.num_lines = shard.counts.num_lines;
      receipt.shards.emplace_back(part, std::move(summary));
    }
    return receipt;
  }

 private:
  struct Shard {
    std::unique_ptr<ShardWriter> writer;
    TextCounts counts;
  };
  fs::path folder_;
  std::int64_t number_;
  ShardHeader header_;
  std::map<std::string, Shard> shards_;
};

ShardHeader header_of(const SourceFile& source, const FileScan& scan,
                      const std::string& corpus_name, const text::Tokenizer& tokenizer) {
  const CorpusKind kind = source.settings.kind;
  ShardHeader header;
  header.corpus = corpus_name;
  header.vocab_size = tokenizer.vocab_size();
  header.tokenizer_digest = tokenizer.digest();
  header.source_digest = scan.files[0].digest;
  header.has_labels = kind == CorpusKind::kClassification || kind == CorpusKind::kMultiLabel ||
                      kind == CorpusKind::kQuestionAnswering;
  header.has_values = kind == CorpusKind::kRegression || source.settings.reads_score;
  header.has_token_labels = kind == CorpusKind::kTagging;
  return header;
}

// Sends every sample of the unit to its shard; returns what was left out.
SkippedLines encode_all(const Plan& plan, const Unit& unit, const text::Tokenizer& tokenizer,
                        ShardSet& shards) {
  const SourceFile& source = plan.sources[unit.source];
  const CorpusPlan& corpus = plan.corpora[source.corpus];
  const bool skip = source.bad_lines == BadLines::kSkip;
  const bool splits = source.settings.kind == CorpusKind::kText && unit.part == "train";
  text::BadLineList bad;
  const auto reader = text::open_source(
      source.settings, {unit.lines, plan.scans[unit.source].shape, {}, skip ? &bad : nullptr});
  const SampleEncoder encoder(source.settings, tokenizer, corpus.labels);
  text::SourceSample sample;
  ShardText document;
  TextCounts counts;
  while (reader->next(sample)) {
    try {
      if (!encoder.encode(sample, *reader, document, counts)) continue;
    } catch (const text::BadLine& fault) {
      if (!skip) throw;
      bad.add(fault.what());
      continue;
    }
    const bool validates =
        splits && corpus.valid_below > 0 && document_hash(sample.texts) < corpus.valid_below;
    shards.append(validates ? "valid" : unit.part, document, counts);
  }
  return {bad.count(), bad.first()};
}

// -1 for a file that is not there.
std::int64_t size_of(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  return error ? -1 : static_cast<std::int64_t>(size);
}

void write_receipt(const fs::path& corpus_folder, const std::string& stem, const std::string& key,
                   const Receipt& receipt) {
  nlohmann::json shards = nlohmann::json::array();
  for (const auto& [part, shard] : receipt.shards) {
    nlohmann::json entry = to_json(shard);
    entry["part"] = part;
    entry["file_bytes"] = size_of(corpus_folder / shard.file);
    shards.push_back(std::move(entry));
  }
  const nlohmann::json json = {
      {"key", key}, {"shards", shards}, {"skipped", to_json(receipt.skipped)}};
  write_file_atomically(receipt_path(corpus_folder, stem), json.dump(2) + "\n");
}

}  // namespace

fs::path receipt_path(const fs::path& corpus_folder, const std::string& stem) {
  return corpus_folder / "parts" / (stem + ".json");
}

std::optional<Receipt> read_receipt(const fs::path& corpus_folder, const std::string& stem,
                                    const std::string& key) {
  const fs::path path = receipt_path(corpus_folder, stem);
  if (size_of(path) < 0) return std::nullopt;
  // A damaged receipt is none: the unit is made again.
  const auto json = parse_json_or_discard(read_file(path));
  try {
    if (json.at("key") != key) return std::nullopt;
    Receipt receipt;
    for (const auto& entry : json.at("shards")) {
      ShardSummary shard = shard_from_json(entry);
      if (size_of(corpus_folder / shard.file) != entry.at("file_bytes")) return std::nullopt;
      receipt.shards.emplace_back(entry.at("part"), std::move(shard));
    }
    receipt.skipped = skipped_from_json(json.at("skipped"));
    return receipt;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

Receipt make_unit(const fs::path& corpus_folder, const Plan& plan, const Unit& unit,
                  const std::string& corpus_name, const text::Tokenizer& tokenizer) {
  const SourceFile& source = plan.sources[unit.source];
  const std::string stem = shard_stem(unit.part, unit.number);
  // Before a shard is touched, or an old receipt could vouch for a new shard.
  remove_file(receipt_path(corpus_folder, stem));
  ShardSet shards(corpus_folder, unit.number,
                  header_of(source, plan.scans[unit.source], corpus_name, tokenizer));
  SkippedLines skipped = encode_all(plan, unit, tokenizer, shards);
  require_unchanged(source, plan.scans[unit.source]);
  Receipt receipt = shards.finish();
  receipt.skipped = std::move(skipped);
  write_receipt(corpus_folder, stem, unit.key, receipt);
  return receipt;
}

}  // namespace polyphase::prepare
