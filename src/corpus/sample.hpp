// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "corpus/dataset.hpp"
#include "corpus/masking.hpp"
#include "corpus/sentence_pair.hpp"

namespace polyphase {

// Shortest limit of a sequence: a pair's texts need a [CLS] in front, a [SEP] behind each, and room
// for some tokens of both.
inline constexpr std::int64_t kMinMaxTokens = 8;

enum class SampleKind { kPretraining, kClassification, kTagging };

// What a phase makes of the sentences of its corpus.
struct SampleSettings {
  SampleKind kind = SampleKind::kPretraining;
  bool masked_language_model = true;  // pretraining only
  bool next_sentence = false;         // pretraining only
  double mask_fraction = 0.15;        // of the tokens that are not special
  std::int64_t max_tokens = 128;  // of a sequence, special tokens among them; kMinMaxTokens … 65536
  std::uint64_t seed = 1;
  std::uint64_t phase = 0;  // key of the phase, of its name: other phases draw other masks
  bool evaluation = false;  // masks and pairs that depend on the seed and the sample only
};

// One sequence, ready to be laid into a batch.
struct Sample {
  std::vector<std::int32_t> tokens;  // masks already drawn
  std::vector<std::int32_t> segments;
  Targets targets;                     // masked language model, else empty
  std::vector<std::int32_t> token_labels;  // tagging: as long as tokens, -1 where there is none
  std::int32_t sequence_label = -1;        // -1: none
  bool truncated = false;                  // some of the text did not fit
};

// Makes samples; a function of (settings, sample number, global sample) and of nothing else.
//
// Masks are drawn anew in every epoch (masking.hpp); those of an evaluation are the same every
// time.
//
// Next-sentence pairs: [CLS] A [SEP] B [SEP], where B follows A (label 0) or comes from another
// document (label 1), by a fair keyed coin. Every anchor sentence of a document of several gives a
// pair of neighbours (A, B): A starts at the anchor and B follows it; the last sentence of a
// document is the B of the sentence before it. For label 1, B is replaced by the B of *another*
// random anchor's pair, under the same limits of length. So both classes see the same A's and the
// same B's, and only whether they belong together tells them apart: neither lengths nor the lack of
// a next sentence gives the label away. The only sentence of a document has no neighbour: it is a
// sample of one text and without a label, for the other objectives.
class SampleMaker {
 public:
  // Throws RecipeError when the samples cannot be made of this kind of corpus.
  SampleMaker(Dataset& dataset, const SampleSettings& settings);

  // Makes `sample` (an index into the dataset) in its role as the phase's global sample number
  // `global_sample`.
  void make(std::int64_t sample, std::uint64_t global_sample, Sample& result);

 private:
  void make_text(std::int64_t sample, Sample& result);
  // False for a document of one sentence, of which there is no pair.
  bool make_pair(std::int64_t sample, std::uint64_t global_sample, Sample& result);
  void make_classification(std::int64_t sample, Sample& result);
  void make_tagging(std::int64_t sample, Sample& result);
  void append_text(const TextRange& range, std::int32_t segment, Sample& result);

  std::int32_t checked_label(std::int64_t sample, std::int32_t label, std::int32_t lowest) const;

  Dataset& dataset_;
  SampleSettings settings_;
  std::uint64_t mask_key_, pair_key_;
  ShardText text_;  // memory that is used again
};

}  // namespace polyphase
