// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace polyphase {

// Added to the segment of a token that the pair's other text holds as well, where a model has an
// embedding for it (the exact match of Chen et al., 2017, arXiv 1704.00051, section 3.2).
inline constexpr std::int32_t kMatch = 2;
inline bool in_second_text(std::int32_t segment) { return segment % kMatch == 1; }

// What a sample is made for, and how.
enum class SampleKind {
  kPretraining,   // of an encoder: one text
  kNextSentence,  // and pairs of texts
  kSentenceOrder,
  kCausal,  // windows over the stream of all tokens, each token to be predicted
  kPrefix,  // the same behind a prefix that is only read; with an encoder, texts in two parts
  kSpans,   // span corruption, for an encoder and decoder
  kClassification,
  kRegression,
  kMultiLabel,
  kTagging,
  kQuestionAnswering,
  kGeneration  // a text from a text
};

// Sequences laid one behind the other, N rows, in host memory. There is no padding between
// sequences; behind the last one a few rows (token 0, row id 0) round N up, so that products see
// few different shapes.
struct Rows {
  std::vector<std::int32_t> tokens_N;     // vocabulary ids, masks already drawn
  std::vector<std::int32_t> positions_N;  // in the sequence
  std::vector<std::int32_t> segments_N;   // 0: first text, 1: second text of a pair; see kMatch
  std::vector<std::uint64_t> row_ids_N;   // (global sample << 16) | place in it: keys dropout
  std::vector<std::int32_t> starts;       // B + 1: sequence b is rows [starts[b], starts[b+1])
  std::int64_t max_tokens = 0;            // of the longest sequence

  std::int64_t num_sequences() const { return static_cast<std::int64_t>(starts.size()) - 1; }
  std::int64_t num_tokens() const { return starts.empty() ? 0 : starts.back(); }  // real ones
};

// One micro-batch. Its own rows are the decoder's, or the only ones; what there is to learn about
// them stands beside them, and is empty where a phase has no such thing.
struct Batch : Rows {
  Rows source;  // encoder-decoder: what the encoder reads; as many sequences as the batch has

  // Where samples of several kinds take turns, that of each sequence; empty: all are of one kind.
  std::vector<SampleKind> kinds_B;

  // Language models: M rows that predict a token, and that token; padded by (-1, -1) to round M up.
  std::vector<std::int32_t> target_rows_M, target_labels_M;
  // Prefix language model: so many rows at the head of each sequence are seen by all of its rows.
  std::vector<std::int32_t> prefixes_B;
  // Next sentence (0: the next one, 1: another), sentence order (0: as written, 1: swapped) or the
  // class of a sequence; -1: none.
  std::vector<std::int32_t> sequence_labels_B;
  std::vector<float> sequence_values_B;  // regression
  std::vector<float> label_sets_BK;      // several labels a sequence: 1 where it carries label k
  std::vector<float> taught_BK;          // a teacher's outputs, where they were kept
  // Tag of a token, -1 on rows that carry none.
  std::vector<std::int32_t> token_labels_N;
  // Question answering: the first and the last row of the answer; both the sequence's first row
  // where there is none.
  std::vector<std::int32_t> answer_first_B, answer_last_B;
};

// Rows are rounded up to multiples of these.
inline constexpr std::int64_t kRowMultiple = 32;
inline constexpr std::int64_t kTargetRowMultiple = 16;
inline std::int64_t round_up(std::int64_t count, std::int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

}  // namespace polyphase
