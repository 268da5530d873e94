// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <optional>
#include <system_error>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/file.hpp"
#include "io/hdf5_create.hpp"
#include "io/shard_format.hpp"

namespace polyphase {
namespace {

using namespace shard_format;

constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

// The bytes of one dataset to be, as they will lie in the file: a buffer, then an unnamed scratch
// file behind it. The contiguous layout, which makes random reads cheap, must know its length
// before the first byte is written.
class Spool {
 public:
  Spool(std::filesystem::path folder, hdf5::ElementType type)
      : folder_(std::move(folder)), type_(type) {}

  template <class T>
  void append(const T* values, std::size_t count) {
    POLYPHASE_PROMISE(static_cast<std::int64_t>(sizeof(T)) == hdf5::size_bytes(type_),
                      "a spool of {} is fed with values of {} bytes", hdf5::name_of(type_),
                      sizeof(T));
    const std::size_t num_bytes = count * sizeof(T);
    if (buffer_.size() + num_bytes > kBufferBytes) spill();
    const char* bytes = reinterpret_cast<const char*>(values);
    buffer_.insert(buffer_.end(), bytes, bytes + num_bytes);
    digest_.update(values, num_bytes);
    count_ += static_cast<std::int64_t>(count);
  }

  hdf5::ElementType type() const { return type_; }
  std::int64_t count() const { return count_; }
  std::string digest() const { return digest_.value(); }

  void copy_to(hdf5::PreparedFile& file, const std::string& dataset) {
    spill();
    const std::int64_t width = hdf5::size_bytes(type_);
    const auto step = static_cast<std::int64_t>(kBufferBytes) / width;
    buffer_.resize(kBufferBytes);
    for (std::int64_t first = 0; first < count_; first += step) {
      const std::int64_t part = std::min(step, count_ - first);
      scratch_->read_at(first * width, buffer_.data(), part * width);
      file.write(dataset, first, part, buffer_.data());
    }
    buffer_.clear();
  }

 private:
  void spill() {
    if (!scratch_) scratch_.emplace(CheckedFile::scratch(folder_));
    scratch_->write(buffer_.data(), static_cast<std::int64_t>(buffer_.size()));
    buffer_.clear();
  }

  std::filesystem::path folder_;
  hdf5::ElementType type_;
  std::vector<char> buffer_;
  std::optional<CheckedFile> scratch_;
  StreamingDigest digest_;
  std::int64_t count_ = 0;
};

}  // namespace

struct ShardWriter::State {
  std::filesystem::path path;
  ShardHeader header;
  std::map<std::string, Spool> spools;
  std::vector<std::uint16_t> narrow;
  std::int64_t max_document_tokens = 0;
  bool finished = false;

  Spool& spool(const char* name) { return spools.at(name); }
  void add(const char* name, hdf5::ElementType type) {
    spools.try_emplace(name, folder_of(path), type);
  }
  void check(const ShardText& document) const;
  void append_tokens(const std::vector<std::int32_t>& tokens);
  ShardSummary summary() const;
  hdf5::NewFile layout(const ShardSummary& summary) const;
};

void ShardWriter::State::check(const ShardText& document) const {
  const std::int64_t number = spools.at(kDocumentStarts).count() - 1;
  const auto& starts = document.sentence_starts;
  const auto num_tokens = static_cast<std::int64_t>(document.tokens.size());
  if (starts.size() < 2 || starts.front() != 0 || starts.back() != num_tokens ||
      std::adjacent_find(starts.begin(), starts.end(), std::greater_equal<>()) != starts.end()) {
    fail<DataError>("{}: document {} has no sentence, or an empty one; leave empty texts out",
                    path.string(), number);
  }
  for (const std::int32_t token : document.tokens) {
    if (token < 0 || token >= header.vocab_size) {
      fail<DataError>(
          "{}: document {} has token {}, outside the vocabulary of {}; use the tokenizer of "
          "this corpus",
          path.string(), number, token, header.vocab_size);
    }
  }
  if (header.has_token_labels && document.token_labels.size() != document.tokens.size()) {
    fail<DataError>("{}: document {} has {} tokens but {} labels; give one a token (-1 for none)",
                    path.string(), number, document.tokens.size(), document.token_labels.size());
  }
  const auto& labels = document.labels;
  if ((!header.has_labels && !labels.empty()) ||
      std::any_of(labels.begin(), labels.end(), [](std::int32_t label) { return label < 0; })) {
    fail<DataError>("{}: document {} has labels below 0, or in a shard that keeps none",
                    path.string(), number);
  }
}

void ShardWriter::State::append_tokens(const std::vector<std::int32_t>& tokens) {
  Spool& to = spool(kTokens);
  if (to.type() == hdf5::ElementType::kUint16) {
    narrow.assign(tokens.begin(), tokens.end());
    to.append(narrow.data(), narrow.size());
  } else {
    to.append(tokens.data(), tokens.size());
  }
}

ShardSummary ShardWriter::State::summary() const {
  ShardSummary summary;
  summary.file = path.filename().string();
  summary.num_documents = spools.at(kDocumentStarts).count() - 1;
  summary.num_sentences = spools.at(kSentenceStarts).count() - 1;
  summary.num_tokens = spools.at(kTokens).count();
  summary.max_document_tokens = max_document_tokens;
  for (const auto& [name, spool] : spools) {
    if (spool.count() > 0) summary.digests[name] = spool.digest();
  }
  if (summary.num_documents == 0) {
    fail<DataError>("{}: a shard without documents; check that the source holds text",
                    path.string());
  }
  return summary;
}

hdf5::NewFile ShardWriter::State::layout(const ShardSummary& summary) const {
  hdf5::NewFile layout;
  layout.texts = {{"format", kFormat},
                  {"corpus", header.corpus},
                  {"split", header.split},
                  {"tokenizer_digest", header.tokenizer_digest},
                  {"source_digest", header.source_digest}};
  layout.numbers = {{"version", kShardFormatVersion},
                    {"vocab_size", header.vocab_size},
                    {"num_documents", summary.num_documents},
                    {"num_sentences", summary.num_sentences},
                    {"num_tokens", summary.num_tokens}};
  for (const auto& [name, spool] : spools) {
    // An empty dataset has no place in a file: no labels at all are told by label_starts alone.
    if (spool.count() > 0) layout.datasets.push_back({name, spool.type(), {spool.count()}});
  }
  return layout;
}

ShardWriter::ShardWriter(const std::filesystem::path& path, const ShardHeader& header)
    : state_(std::make_unique<State>()) {
  POLYPHASE_PROMISE(header.vocab_size > 0 && header.vocab_size <= (std::int64_t{1} << 31),
                    "a shard for a vocabulary of {}", header.vocab_size);
  state_->path = path;
  state_->header = header;
  state_->add(kTokens, token_type(header.vocab_size));
  state_->add(kSentenceStarts, hdf5::ElementType::kInt64);
  state_->add(kDocumentStarts, hdf5::ElementType::kInt64);
  const std::int64_t zero = 0;
  if (header.has_labels) {
    state_->add(kLabelStarts, hdf5::ElementType::kInt64);
    state_->add(kLabels, hdf5::ElementType::kInt32);
    state_->spool(kLabelStarts).append(&zero, 1);
  }
  if (header.has_values) state_->add(kValues, hdf5::ElementType::kFloat32);
  if (header.has_token_labels) state_->add(kTokenLabels, hdf5::ElementType::kInt32);
  state_->spool(kSentenceStarts).append(&zero, 1);
  state_->spool(kDocumentStarts).append(&zero, 1);
}

ShardWriter::~ShardWriter() = default;

void ShardWriter::append(const ShardText& document) {
  POLYPHASE_PROMISE(!state_->finished, "{}: a document after the end", state_->path.string());
  state_->check(document);
  const std::int64_t before = num_tokens();
  state_->append_tokens(document.tokens);
  Spool& sentences = state_->spool(kSentenceStarts);
  for (std::size_t s = 1; s < document.sentence_starts.size(); ++s) {
    const std::int64_t start = before + document.sentence_starts[s];
    sentences.append(&start, 1);
  }
  const std::int64_t num_sentences = sentences.count() - 1;
  state_->spool(kDocumentStarts).append(&num_sentences, 1);
  if (state_->header.has_labels) {
    state_->spool(kLabels).append(document.labels.data(), document.labels.size());
    const std::int64_t num_labels = state_->spool(kLabels).count();
    state_->spool(kLabelStarts).append(&num_labels, 1);
  }
  if (state_->header.has_values) state_->spool(kValues).append(&document.value, 1);
  if (state_->header.has_token_labels) {
    state_->spool(kTokenLabels).append(document.token_labels.data(), document.token_labels.size());
  }
  state_->max_document_tokens = std::max(state_->max_document_tokens, num_tokens() - before);
}

std::int64_t ShardWriter::num_tokens() const { return state_->spool(kTokens).count(); }

ShardSummary ShardWriter::finish() {
  POLYPHASE_PROMISE(!state_->finished, "{}: finished twice", state_->path.string());
  state_->finished = true;
  const ShardSummary summary = state_->summary();
  const std::filesystem::path beside = state_->path.string() + ".new";
  std::error_code ignored;
  std::filesystem::remove(beside, ignored);  // what a killed process left
  hdf5::PreparedFile file(beside, state_->layout(summary));
  for (auto& [name, spool] : state_->spools) {
    if (spool.count() > 0) spool.copy_to(file, name);
  }
  file.finish();
  rename_durably(beside, state_->path);
  return summary;
}

}  // namespace polyphase
