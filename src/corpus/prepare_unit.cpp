// SPDX-License-Identifier: Apache-2.0
#include "corpus/prepare_unit.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/error.hpp"
#include "io/file.hpp"
#include "io/shard_json.hpp"
#include "text/readers.hpp"

namespace polyphase::prepare {
namespace {

namespace fs = std::filesystem;

// The one or two shards of a unit; a shard begins with its first document.
class ShardSet {
 public:
  ShardSet(fs::path folder, std::int64_t number, ShardHeader header)
      : folder_(std::move(folder)), number_(number), header_(std::move(header)) {}

  void append(const std::string& part, const ShardText& document) {
    std::unique_ptr<ShardWriter>& writer = writers_[part];
    if (!writer) {
      header_.split = part;
      writer =
          std::make_unique<ShardWriter>(folder_ / (shard_stem(part, number_) + ".h5"), header_);
    }
    writer->append(document);
  }

  Receipt finish() {
    Receipt receipt;
    for (auto& [part, writer] : writers_) receipt.shards.emplace_back(part, writer->finish());
    return receipt;
  }

 private:
  fs::path folder_;
  std::int64_t number_;
  ShardHeader header_;
  std::map<std::string, std::unique_ptr<ShardWriter>> writers_;
};

struct Task {
  const Plan& plan;
  const Unit& unit;
  const text::Tokenizer& tokenizer;
  ShardSet& shards;

  const SourceFile& source() const { return plan.sources[unit.source]; }
  const CorpusPlan& corpus() const { return plan.corpora[source().corpus]; }
  int num_columns() const { return plan.scans[unit.source].num_columns; }

  std::int32_t label_id(const std::string& label, const std::string& place) const {
    const auto& labels = corpus().labels;
    const auto found = std::lower_bound(labels.begin(), labels.end(), label);
    if (found == labels.end() || *found != label) {
      fail<DataError>("{}: label \"{}\" came up since the file was scanned; prepare it again",
                      place, label);
    }
    return static_cast<std::int32_t>(found - labels.begin());
  }
};

void append_sentence(const std::vector<std::int32_t>& ids, ShardText& document) {
  document.tokens.insert(document.tokens.end(), ids.begin(), ids.end());
  document.sentence_starts.push_back(static_cast<std::int64_t>(document.tokens.size()));
}

void clear(ShardText& document) {
  document.tokens.clear();
  document.sentence_starts.assign(1, 0);
  document.token_labels.clear();
  document.labels.clear();
  document.value = 0;
}

void tokenize_text(const Task& task) {
  text::DocumentReader reader(task.unit.lines);
  std::vector<std::string> sentences;
  ShardText document;
  while (reader.next(sentences)) {
    clear(document);
    for (const std::string& sentence : sentences) {
      const auto ids = task.tokenizer.encode(sentence);
      if (!ids.empty()) append_sentence(ids, document);
    }
    if (document.tokens.empty()) continue;
    const std::string& own = task.source().part;
    const bool validates = own == "train" && document_hash(sentences) < task.corpus().valid_below;
    task.shards.append(validates ? "valid" : own, document);
  }
}

void tokenize_labelled(const Task& task) {
  text::LabelledTextReader reader(task.unit.lines, task.num_columns());
  text::LabelledText sample;
  ShardText document;
  while (reader.next(sample)) {
    clear(document);
    for (const std::string& sentence : sample.texts) {
      const auto ids = task.tokenizer.encode(sentence);
      if (ids.empty()) {
        fail<DataError>("{}: nothing is left of \"{}\" after normalisation; remove the line",
                        reader.place(), sentence);
      }
      append_sentence(ids, document);
    }
    document.labels = {task.label_id(sample.label, reader.place())};
    task.shards.append(task.source().part, document);
  }
}

void tokenize_tagged(const Task& task) {
  text::TaggedSentenceReader reader(task.unit.lines, task.num_columns());
  text::TaggedSentence sentence;
  ShardText document;
  while (reader.next(sentence)) {
    clear(document);
    const text::EncodedWords words = task.tokenizer.encode_words(sentence.tokens);
    append_sentence(words.ids, document);
    document.token_labels.assign(words.ids.size(), -1);
    for (std::size_t i = 0; i < sentence.tags.size(); ++i) {
      document.token_labels[static_cast<std::size_t>(words.first_pieces[i])] =
          task.label_id(sentence.tags[i], reader.place(static_cast<std::int64_t>(i)));
    }
    task.shards.append(task.source().part, document);
  }
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
  const nlohmann::json json = {{"key", key}, {"shards", shards}};
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
  const auto json = nlohmann::json::parse(read_file(path), nullptr, false);
  try {
    if (json.at("key") != key) return std::nullopt;
    Receipt receipt;
    for (const auto& entry : json.at("shards")) {
      ShardSummary shard = shard_from_json(entry);
      if (size_of(corpus_folder / shard.file) != entry.at("file_bytes")) return std::nullopt;
      receipt.shards.emplace_back(entry.at("part"), std::move(shard));
    }
    return receipt;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

Receipt make_unit(const fs::path& corpus_folder, const Plan& plan, const Unit& unit,
                  const std::string& corpus_name, const text::Tokenizer& tokenizer) {
  const SourceFile& source = plan.sources[unit.source];
  const std::string stem = shard_stem(source.part, unit.number);
  std::error_code ignored;
  // Before a shard is touched, or an old receipt could vouch for a new shard.
  fs::remove(receipt_path(corpus_folder, stem), ignored);
  ShardHeader header;
  header.corpus = corpus_name;
  header.vocab_size = tokenizer.vocab_size();
  header.tokenizer_digest = tokenizer.digest();
  header.source_digest = plan.scans[unit.source].digest;
  header.has_labels = source.kind == recipe::CorpusKind::kClassification;
  header.has_token_labels = source.kind == recipe::CorpusKind::kTagging;
  ShardSet shards(corpus_folder, unit.number, header);
  const Task task{plan, unit, tokenizer, shards};
  switch (source.kind) {
    case recipe::CorpusKind::kText:
      tokenize_text(task);
      break;
    case recipe::CorpusKind::kClassification:
      tokenize_labelled(task);
      break;
    case recipe::CorpusKind::kTagging:
      tokenize_tagged(task);
      break;
  }
  require_unchanged(source, plan.scans[unit.source]);
  Receipt receipt = shards.finish();
  write_receipt(corpus_folder, stem, unit.key, receipt);
  return receipt;
}

}  // namespace polyphase::prepare
