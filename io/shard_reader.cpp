// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "base/error.hpp"
#include "io/cached_starts.hpp"
#include "io/file.hpp"
#include "io/shard_format.hpp"

namespace polyphase {
namespace {

using namespace shard_format;

std::string text_of(const hdf5::FileContents& contents, const std::filesystem::path& path,
                    const char* name) {
  const auto found = contents.texts.find(name);
  if (found == contents.texts.end()) {
    fail<DataError>("{}: no attribute \"{}\"; it is not a shard: prepare the corpus again",
                    path.string(), name);
  }
  return found->second;
}

std::int64_t number_of(const hdf5::FileContents& contents, const std::filesystem::path& path,
                       const char* name) {
  const auto found = contents.numbers.find(name);
  if (found == contents.numbers.end()) {
    fail<DataError>("{}: no attribute \"{}\"; it is not a shard: prepare the corpus again",
                    path.string(), name);
  }
  return found->second;
}

void check_dataset(const hdf5::FileContents& contents, const std::filesystem::path& path,
                   const char* name, hdf5::ElementType type, std::int64_t count) {
  const auto found = contents.datasets.find(name);
  if (found == contents.datasets.end() || found->second.type != type ||
      found->second.shape != std::vector<std::int64_t>{count}) {
    fail<DataError>(
        "{}: /{} is not the list of {} {} that the attributes declare; the file was "
        "altered: prepare the corpus again",
        path.string(), name, count, hdf5::name_of(type));
  }
}

ShardHeader header_of(const hdf5::FileContents& contents, const std::filesystem::path& path) {
  if (text_of(contents, path, "format") != kFormat) {
    fail<DataError>("{}: \"{}\" where \"{}\" is needed; choose another file", path.string(),
                    text_of(contents, path, "format"), kFormat);
  }
  const std::int64_t version = number_of(contents, path, "version");
  if (version != kShardFormatVersion) {
    fail<DataError>(
        "{}: shard of format version {}, where this program reads version {}; use the "
        "program that wrote it or prepare the corpus again",
        path.string(), version, kShardFormatVersion);
  }
  ShardHeader header;
  header.corpus = text_of(contents, path, "corpus");
  header.split = text_of(contents, path, "split");
  header.vocab_size = number_of(contents, path, "vocab_size");
  header.tokenizer_digest = text_of(contents, path, "tokenizer_digest");
  header.source_digest = text_of(contents, path, "source_digest");
  header.has_labels = contents.datasets.count(kLabelStarts) != 0;
  header.has_values = contents.datasets.count(kValues) != 0;
  header.has_token_labels = contents.datasets.count(kTokenLabels) != 0;
  return header;
}

void check_datasets(const hdf5::FileContents& contents, const std::filesystem::path& path,
                    const ShardHeader& header) {
  static const std::set<std::string> known = {
      kTokens, kSentenceStarts, kDocumentStarts, kLabelStarts, kLabels, kValues, kTokenLabels};
  for (const auto& [name, stored] : contents.datasets) {
    if (known.count(name) == 0) {
      fail<DataError>("{}: /{} does not belong in a shard; prepare the corpus again", path.string(),
                      name);
    }
  }
  const std::int64_t num_tokens = number_of(contents, path, "num_tokens");
  const std::int64_t num_sentences = number_of(contents, path, "num_sentences");
  const std::int64_t num_documents = number_of(contents, path, "num_documents");
  if (header.vocab_size < 1 || header.vocab_size > (std::int64_t{1} << 31) || num_documents < 1 ||
      num_sentences < num_documents || num_tokens < num_sentences ||
      num_tokens > contents.num_bytes) {
    fail<DataError>(
        "{}: a vocabulary of {}, {} documents, {} sentences and {} tokens cannot be; "
        "prepare the corpus again",
        path.string(), header.vocab_size, num_documents, num_sentences, num_tokens);
  }
  check_dataset(contents, path, kTokens, token_type(header.vocab_size), num_tokens);
  check_dataset(contents, path, kSentenceStarts, hdf5::ElementType::kInt64, num_sentences + 1);
  check_dataset(contents, path, kDocumentStarts, hdf5::ElementType::kInt64, num_documents + 1);
  if (header.has_labels) {
    check_dataset(contents, path, kLabelStarts, hdf5::ElementType::kInt64, num_documents + 1);
  }
  if (const auto labels = contents.datasets.find(kLabels); labels != contents.datasets.end()) {
    const auto& shape = labels->second.shape;
    check_dataset(contents, path, kLabels, hdf5::ElementType::kInt32,
                  header.has_labels && shape.size() == 1 ? shape[0] : 0);
  }
  if (header.has_values) {
    check_dataset(contents, path, kValues, hdf5::ElementType::kFloat32, num_documents);
  }
  if (header.has_token_labels) {
    check_dataset(contents, path, kTokenLabels, hdf5::ElementType::kInt32, num_tokens);
  }
}

}  // namespace

struct ShardReader::State {
  hdf5::FileContents contents;
  CheckedFile file;
  ShardHeader header;
  std::int64_t num_tokens;
  CachedStarts sentences;
  CachedStarts documents;
  std::optional<CachedStarts> labels;
  std::vector<std::uint16_t> narrow;

  State(const std::filesystem::path& path, hdf5::FileContents listed, ShardHeader declared)
      : contents(std::move(listed)),
        file(CheckedFile::open_read(path)),
        header(std::move(declared)),
        num_tokens(contents.datasets.at(kTokens).shape[0]),
        sentences(file, contents.datasets.at(kSentenceStarts), num_tokens, "sentence starts"),
        documents(file, contents.datasets.at(kDocumentStarts), sentences.size() - 1,
                  "document starts") {
    if (!header.has_labels) return;
    const auto stored = contents.datasets.find(kLabels);
    labels.emplace(file, contents.datasets.at(kLabelStarts),
                   stored == contents.datasets.end() ? 0 : stored->second.shape[0], "label starts",
                   CachedStarts::Steps::kNotFalling);
  }

  void read_tokens(std::int64_t first, std::int64_t count, std::vector<std::int32_t>& out);
  void read_labels(const char* name, std::int64_t first, std::int64_t count, std::int32_t lowest,
                   std::int32_t* out);
  void read_labels_of(std::int64_t document, ShardText& out);
};

void ShardReader::State::read_tokens(std::int64_t first, std::int64_t count,
                                     std::vector<std::int32_t>& out) {
  const hdf5::StoredDataset& stored = contents.datasets.at(kTokens);
  out.resize(static_cast<std::size_t>(count));
  if (stored.type == hdf5::ElementType::kUint16) {
    narrow.resize(out.size());
    file.read_at(stored.offset + first * 2, narrow.data(), count * 2);
    std::copy(narrow.begin(), narrow.end(), out.begin());
  } else {
    file.read_at(stored.offset + first * 4, out.data(), count * 4);
  }
  const auto limit = static_cast<std::uint32_t>(header.vocab_size);
  const auto is_foreign = [limit](std::int32_t token) {
    return static_cast<std::uint32_t>(token) >= limit;
  };
  const auto foreign = std::find_if(out.begin(), out.end(), is_foreign);
  if (foreign != out.end()) {
    fail<DataError>(
        "{}: token {} at position {} is outside the vocabulary of {}; the file was altered: "
        "prepare the corpus again",
        file.path().string(), *foreign, first + (foreign - out.begin()), header.vocab_size);
  }
}

void ShardReader::State::read_labels(const char* name, std::int64_t first, std::int64_t count,
                                     std::int32_t lowest, std::int32_t* out) {
  file.read_at(contents.datasets.at(name).offset + first * 4, out, count * 4);
  const auto strange =
      std::find_if(out, out + count, [&](std::int32_t label) { return label < lowest; });
  if (strange != out + count) {
    fail<DataError>(
        "{}: label {} at position {} of {} is below {}; the file was altered: prepare the "
        "corpus again",
        file.path().string(), *strange, first + (strange - out), name, lowest);
  }
}

void ShardReader::State::read_labels_of(std::int64_t document, ShardText& out) {
  out.labels.clear();
  out.value = 0;
  if (labels) {
    const std::int64_t first = labels->at(document);
    const std::int64_t count = labels->at(document + 1) - first;
    if (count < 0) {
      fail<DataError>(
          "{}: the labels of document {} end before they begin; the file was altered: prepare the "
          "corpus again",
          file.path().string(), document);
    }
    out.labels.resize(static_cast<std::size_t>(count));
    if (count > 0) read_labels(kLabels, first, count, 0, out.labels.data());
  }
  if (!header.has_values) return;
  file.read_at(contents.datasets.at(kValues).offset + document * 4, &out.value, 4);
  if (!std::isfinite(out.value)) {
    fail<DataError>(
        "{}: the value of document {} is not finite; the file was altered: prepare the corpus "
        "again",
        file.path().string(), document);
  }
}

ShardReader::ShardReader(const std::filesystem::path& path) {
  hdf5::FileContents contents = hdf5::inspect(path);
  ShardHeader header = header_of(contents, path);
  check_datasets(contents, path, header);
  state_ = std::make_unique<State>(path, std::move(contents), std::move(header));
}

ShardReader::~ShardReader() = default;
ShardReader::ShardReader(ShardReader&&) noexcept = default;

const ShardHeader& ShardReader::header() const { return state_->header; }
std::int64_t ShardReader::num_documents() const { return state_->documents.size() - 1; }
std::int64_t ShardReader::num_sentences() const { return state_->sentences.size() - 1; }
std::int64_t ShardReader::num_tokens() const { return state_->num_tokens; }

ShardReader::Range ShardReader::sentences_of(std::int64_t document) {
  POLYPHASE_PROMISE(document >= 0 && document < num_documents(), "document {} of {}", document,
                    num_documents());
  const Range range{state_->documents.at(document), state_->documents.at(document + 1)};
  if (range.end <= range.first) {
    fail<DataError>(
        "{}: document {} ends before it begins; the file was altered: prepare the corpus "
        "again",
        state_->file.path().string(), document);
  }
  return range;
}

std::int64_t ShardReader::document_of(std::int64_t sentence) {
  POLYPHASE_PROMISE(sentence >= 0 && sentence < num_sentences(), "sentence {} of {}", sentence,
                    num_sentences());
  std::int64_t low = 0;
  std::int64_t high = num_documents();
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (state_->documents.at(middle) <= sentence ? low : high) = middle;
  }
  return low;
}

std::int64_t ShardReader::num_tokens_of(std::int64_t first_sentence, std::int64_t count) {
  POLYPHASE_PROMISE(first_sentence >= 0 && count >= 1 && count <= num_sentences() - first_sentence,
                    "sentences {} + {} of {}", first_sentence, count, num_sentences());
  const std::int64_t num =
      state_->sentences.at(first_sentence + count) - state_->sentences.at(first_sentence);
  if (num < count) {
    fail<DataError>(
        "{}: sentence {} ends before it begins; the file was altered: prepare the corpus "
        "again",
        state_->file.path().string(), first_sentence);
  }
  return num;
}

void ShardReader::read_sentences(std::int64_t first_sentence, std::int64_t count, ShardText& out) {
  const std::int64_t num = num_tokens_of(first_sentence, count);
  const std::int64_t first = state_->sentences.at(first_sentence);
  out.labels.clear();
  out.value = 0;
  out.sentence_starts.resize(static_cast<std::size_t>(count) + 1);
  for (std::int64_t s = 0; s <= count; ++s) {
    out.sentence_starts[static_cast<std::size_t>(s)] =
        state_->sentences.at(first_sentence + s) - first;
  }
  state_->read_tokens(first, num, out.tokens);
  out.token_labels.clear();
  if (state_->header.has_token_labels) {
    out.token_labels.resize(static_cast<std::size_t>(num));
    state_->read_labels(kTokenLabels, first, num, -1, out.token_labels.data());
  }
}

void ShardReader::read_document(std::int64_t document, ShardText& out) {
  const Range range = sentences_of(document);
  read_sentences(range.first, range.end - range.first, out);
  state_->read_labels_of(document, out);
}

std::int64_t ShardReader::first_token_of(std::int64_t document) {
  POLYPHASE_PROMISE(document >= 0 && document <= num_documents(), "document {} of {}", document,
                    num_documents());
  return state_->sentences.at(state_->documents.at(document));
}

void ShardReader::read_tokens(std::int64_t first, std::int64_t count,
                              std::vector<std::int32_t>& out) {
  POLYPHASE_PROMISE(first >= 0 && count >= 0 && count <= num_tokens() - first,
                    "tokens {} + {} of {}", first, count, num_tokens());
  state_->read_tokens(first, count, out);
}

}  // namespace polyphase
