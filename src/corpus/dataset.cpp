// SPDX-License-Identifier: Apache-2.0
#include "corpus/dataset.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"

namespace polyphase {

Dataset::Dataset(DatasetContents contents) : contents_(std::move(contents)) {
  first_documents_.push_back(0);
  first_sentences_.push_back(0);
  first_tokens_.push_back(0);
  first_rows_.push_back(0);
  for (const DatasetShard& shard : contents_.shards) {
    first_documents_.push_back(first_documents_.back() + shard.num_documents);
    first_sentences_.push_back(first_sentences_.back() + shard.num_sentences);
    first_tokens_.push_back(first_tokens_.back() + shard.num_tokens);
    first_rows_.push_back(first_rows_.back() + shard.num_tokens + shard.num_documents);
    num_bytes_ += shard.num_bytes;
    num_words_ += shard.num_words;
    num_lines_ += shard.num_lines;
  }
  if (num_samples() < 1) {
    fail<DataError>(
        "{} holds no samples; check the corpus' files in the recipe, then prepare again", name());
  }
}

std::int64_t Dataset::num_samples() const {
  return kind() == DatasetKind::kText ? num_sentences() : num_documents();
}

Dataset::Document Dataset::document_of(std::int64_t sentence) {
  const std::scoped_lock lock(mutex_);
  const std::size_t shard = shard_of(first_sentences_, sentence, "sentence");
  ShardReader& from = reader(shard);
  const std::int64_t document = from.document_of(sentence - first_sentences_[shard]);
  const ShardReader::Range range = from.sentences_of(document);
  return {.number = document + first_documents_[shard],
          .first_sentence = range.first + first_sentences_[shard],
          .num_sentences = range.end - range.first};
}

std::int64_t Dataset::num_tokens_of(std::int64_t first_sentence, std::int64_t count) {
  const std::scoped_lock lock(mutex_);
  const std::size_t shard = shard_of(first_sentences_, first_sentence, "sentence");
  return reader(shard).num_tokens_of(first_sentence - first_sentences_[shard], count);
}

std::int64_t Dataset::num_tokens_of_sample(std::int64_t sample) {
  if (kind() == DatasetKind::kText) return num_tokens_of(sample);
  const std::scoped_lock lock(mutex_);
  const std::size_t shard = shard_of(first_documents_, sample, "document");
  ShardReader& from = reader(shard);
  const std::int64_t document = sample - first_documents_[shard];
  return from.first_token_of(document + 1) - from.first_token_of(document);
}

double Dataset::score_of_sample(std::int64_t sample) {
  ShardText text;
  read_document(sample, text);
  return text.value;
}

void Dataset::read_sentences(std::int64_t first_sentence, std::int64_t count, ShardText& out) {
  const std::scoped_lock lock(mutex_);
  const std::size_t shard = shard_of(first_sentences_, first_sentence, "sentence");
  reader(shard).read_sentences(first_sentence - first_sentences_[shard], count, out);
}

void Dataset::read_document(std::int64_t document, ShardText& out) {
  const std::scoped_lock lock(mutex_);
  const std::size_t shard = shard_of(first_documents_, document, "document");
  reader(shard).read_document(document - first_documents_[shard], out);
}

void Dataset::read_window(std::int64_t first_row, std::int64_t count,
                          std::vector<WindowPiece>& pieces) {
  POLYPHASE_PROMISE(first_row >= 0 && count > 0 && count <= num_window_rows() - first_row,
                    "rows {} + {} of {}, which has {}", first_row, count, name(),
                    num_window_rows());
  const std::scoped_lock lock(mutex_);
  const std::int64_t end_row = first_row + count;
  std::size_t used = 0;
  for (std::int64_t row = first_row; row < end_row; ++used) {
    if (used == pieces.size()) pieces.emplace_back();
    WindowPiece& piece = pieces[used];
    read_piece(row, end_row, piece);
    const auto num_tokens = static_cast<std::int64_t>(piece.tokens.size());
    row += num_tokens + (piece.begins_document ? 1 : 0) - (piece.ends_document ? 0 : 1);
  }
  pieces.resize(used);
}

// Fills `piece` with what the document at `row` has before `end_row`.
void Dataset::read_piece(std::int64_t row, std::int64_t end_row, WindowPiece& piece) {
  const std::size_t shard = shard_of(first_rows_, row, "row");
  ShardReader& from = reader(shard);
  const std::int64_t shard_row = row - first_rows_[shard];
  std::int64_t document = 0;
  std::int64_t behind = from.num_documents();
  while (behind - document > 1) {
    const std::int64_t middle = document + (behind - document) / 2;
    (from.first_token_of(middle) + middle <= shard_row ? document : behind) = middle;
  }
  const std::int64_t begin_token = from.first_token_of(document);
  const std::int64_t num_tokens = from.first_token_of(document + 1) - begin_token;
  const std::int64_t first = shard_row - begin_token - document;  // row within the document
  const std::int64_t end = std::min(first + end_row - row, num_tokens + 1);
  piece.document = document + first_documents_[shard];
  piece.begins_document = first == 0;
  piece.ends_document = end == num_tokens + 1;
  piece.first = std::max<std::int64_t>(first - 1, 0);
  const std::int64_t end_token = std::min(end, num_tokens);
  from.read_tokens(begin_token + piece.first, end_token - piece.first, piece.tokens);
}

std::size_t Dataset::shard_of(const std::vector<std::int64_t>& firsts, std::int64_t place,
                              const char* what) const {
  POLYPHASE_PROMISE(place >= 0 && place < firsts.back(), "{} {} of {}, which has {}", what, place,
                    name(), firsts.back());
  return static_cast<std::size_t>(std::upper_bound(firsts.begin(), firsts.end(), place) -
                                  firsts.begin() - 1);
}

ShardReader& Dataset::reader(std::size_t shard) {
  const auto found = open_by_number_.find(shard);
  if (found != open_by_number_.end()) {
    open_.splice(open_.begin(), open_, found->second);
    return open_.front().reader;
  }
  ShardReader opened(contents_.shards[shard].path);
  check(shard, opened);
  if (open_.size() >= kMaxOpenShards) {
    open_by_number_.erase(open_.back().number);
    open_.pop_back();
  }
  open_.push_front({.number = shard, .reader = std::move(opened)});
  open_by_number_[shard] = open_.begin();
  return open_.front().reader;
}

void Dataset::check(std::size_t shard, const ShardReader& reader) const {
  const DatasetShard& promised = contents_.shards[shard];
  const bool same = reader.num_documents() == promised.num_documents &&
                    reader.num_sentences() == promised.num_sentences &&
                    reader.num_tokens() == promised.num_tokens;
  if (!same) {
    fail<DataError>(
        "{}: holds {} documents, {} sentences, {} tokens, but its corpus says {}, {}, {}; prepare "
        "the corpus again",
        promised.path, reader.num_documents(), reader.num_sentences(), reader.num_tokens(),
        promised.num_documents, promised.num_sentences, promised.num_tokens);
  }
  if (reader.header().vocab_size != vocab_size()) {
    fail<DataError>("{}: made for a vocabulary of {}, its corpus says {}; prepare the corpus again",
                    promised.path, reader.header().vocab_size, vocab_size());
  }
}

}  // namespace polyphase
