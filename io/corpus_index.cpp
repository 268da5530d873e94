// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "io/file.hpp"
#include "io/sealed_json.hpp"
#include "io/shard_format.hpp"
#include "io/shard_json.hpp"
#include "io/stored_digest.hpp"

namespace polyphase {
namespace {

constexpr const char* kIndexFormat = "polyphase corpus";  // on disk: never rename
constexpr std::int64_t kIndexVersion = 2;                 // on disk: raised with every change

void verify_digests(const std::filesystem::path& path, const ShardSummary& summary,
                    std::vector<std::string>& faults) {
  const hdf5::FileContents contents = hdf5::inspect(path);
  const CheckedFile file = CheckedFile::open_read(path);
  for (const auto& [name, stored] : contents.datasets) {
    const auto expected = summary.digests.find(name);
    if (expected == summary.digests.end()) {
      faults.push_back(fmt::format("{}: /{} is not in the index", path.string(), name));
    } else if (digest_of(file, stored) != expected->second) {
      faults.push_back(
          fmt::format("{}: /{} was altered: its digest is not the index's; prepare the "
                      "corpus again",
                      path.string(), name));
    }
  }
}

}  // namespace

nlohmann::json to_json(const ShardSummary& shard) {
  return {{"file", shard.file},
          {"num_documents", shard.num_documents},
          {"num_sentences", shard.num_sentences},
          {"num_tokens", shard.num_tokens},
          {"max_document_tokens", shard.max_document_tokens},
          {"num_bytes", shard.num_bytes},
          {"num_words", shard.num_words},
          {"num_lines", shard.num_lines},
          {"digests", shard.digests}};
}

ShardSummary shard_from_json(const nlohmann::json& json) {
  ShardSummary shard;
  json.at("file").get_to(shard.file);
  json.at("num_documents").get_to(shard.num_documents);
  json.at("num_sentences").get_to(shard.num_sentences);
  json.at("num_tokens").get_to(shard.num_tokens);
  json.at("max_document_tokens").get_to(shard.max_document_tokens);
  json.at("num_bytes").get_to(shard.num_bytes);
  json.at("num_words").get_to(shard.num_words);
  json.at("num_lines").get_to(shard.num_lines);
  json.at("digests").get_to(shard.digests);
  return shard;
}

nlohmann::json to_json(const SkippedLines& skipped) {
  return {{"count", skipped.count}, {"first", skipped.first}};
}

SkippedLines skipped_from_json(const nlohmann::json& json) {
  SkippedLines skipped;
  json.at("count").get_to(skipped.count);
  json.at("first").get_to(skipped.first);
  return skipped;
}

std::vector<std::string> verify_shard(const std::filesystem::path& folder,
                                      const ShardSummary& summary) {
  std::vector<std::string> faults;
  const std::filesystem::path path = folder / summary.file;
  try {
    ShardReader reader(path);
    if (reader.num_documents() != summary.num_documents ||
        reader.num_sentences() != summary.num_sentences ||
        reader.num_tokens() != summary.num_tokens) {
      faults.push_back(fmt::format(
          "{}: {} documents, {} sentences, {} tokens, where the index has {}, "
          "{}, {}",
          path.string(), reader.num_documents(), reader.num_sentences(), reader.num_tokens(),
          summary.num_documents, summary.num_sentences, summary.num_tokens));
    }
    verify_digests(path, summary, faults);
    ShardText text;
    for (std::int64_t d = 0; d < reader.num_documents(); ++d) reader.read_document(d, text);
  } catch (const Error& error) {
    faults.emplace_back(error.what());
  }
  return faults;
}

void write_corpus_index(const std::filesystem::path& path, const CorpusIndex& index) {
  nlohmann::json splits = nlohmann::json::object();
  for (const auto& [split, shards] : index.splits) {
    splits[split] = nlohmann::json::array();
    for (const ShardSummary& shard : shards) splits[split].push_back(to_json(shard));
  }
  nlohmann::json skipped = nlohmann::json::object();
  for (const auto& [split, lines] : index.skipped) skipped[split] = to_json(lines);
  nlohmann::json content = {{"name", index.name},
                            {"kind", index.kind},
                            {"layout", index.layout},
                            {"vocab_size", index.vocab_size},
                            {"tokenizer_digest", index.tokenizer_digest},
                            {"source_digests", index.source_digests},
                            {"label_names", index.label_names},
                            {"splits", splits},
                            {"skipped", skipped}};
  if (!index.made.is_null()) content["made"] = index.made;
  write_file_atomically(path, seal(content, kIndexFormat, kIndexVersion));
}

CorpusIndex read_corpus_index(const std::filesystem::path& path) {
  const nlohmann::json content = unseal(path, kIndexFormat, kIndexVersion);
  CorpusIndex index;
  try {
    content.at("name").get_to(index.name);
    content.at("kind").get_to(index.kind);
    content.at("layout").get_to(index.layout);
    content.at("vocab_size").get_to(index.vocab_size);
    content.at("tokenizer_digest").get_to(index.tokenizer_digest);
    content.at("source_digests").get_to(index.source_digests);
    content.at("label_names").get_to(index.label_names);
    for (const auto& [split, shards] : content.at("splits").items()) {
      std::vector<ShardSummary>& list = index.splits[split];
      for (const nlohmann::json& shard : shards) list.push_back(shard_from_json(shard));
    }
    for (const auto& [split, lines] : content.at("skipped").items()) {
      index.skipped[split] = skipped_from_json(lines);
    }
    index.made = content.value("made", nlohmann::json());
  } catch (const nlohmann::json::exception& error) {
    fail<DataError>("{}: {}; prepare the corpus again", path.string(), error.what());
  }
  for (const auto& [split, shards] : index.splits) {
    for (const ShardSummary& shard : shards) {
      if (shard.file.find('/') != std::string::npos || !hdf5::is_allowed_name(shard.file)) {
        fail<DataError>("{}: shard \"{}\" is not a plain file name; prepare the corpus again",
                        path.string(), shard.file);
      }
    }
  }
  return index;
}

std::vector<std::string> verify_corpus(const std::filesystem::path& folder) {
  const CorpusIndex index = read_corpus_index(folder / "corpus.json");
  std::vector<std::string> faults;
  for (const auto& [split, shards] : index.splits) {
    for (const ShardSummary& shard : shards) {
      const std::vector<std::string> found = verify_shard(folder, shard);
      faults.insert(faults.end(), found.begin(), found.end());
    }
  }
  return faults;
}

}  // namespace polyphase
