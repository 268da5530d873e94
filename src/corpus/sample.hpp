// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "corpus/augmentation.hpp"
#include "corpus/batch.hpp"
#include "corpus/dataset.hpp"
#include "corpus/masking.hpp"

namespace polyphase {

// Shortest limit of a sequence: a pair's texts need a [CLS] in front, a [SEP] behind each, and room
// for some tokens of both.
inline constexpr std::int64_t kMinMaxTokens = 8;

// What a phase makes of its corpus.
struct SampleSettings {
  // Samples of several kinds take turns: of P kinds, global sample g is of kind g mod P. As the
  // order of samples is random, so is the kind that a sample meets in an epoch, and every step has
  // equal shares. An evaluation makes every sample in every kind.
  std::vector<SampleKind> kinds = {SampleKind::kPretraining};
  bool masked_language_model = true;  // an encoder's running text is masked
  double mask_fraction = 0.15;        // of the tokens that are not special: masked, or in spans
  double span_tokens = 3.0;           // mean length of a corrupted span
  bool encoder_decoder = false;       // the source is a sequence of its own
  bool matches = false;               // segments say which tokens both texts of a pair hold
  std::int64_t max_tokens = 128;  // of a sequence, special tokens among them; kMinMaxTokens … 65536
  std::int32_t first_sentinel = 0, num_sentinels = 0;  // ids that stand for corrupted spans
  // Whole-word masks: whether a word begins with the token id. Empty: tokens are masked one by one.
  std::shared_ptr<const std::vector<bool>> begins_word;
  std::shared_ptr<const Augmentation> augmentation;  // of tasks' training samples; empty: none
  std::uint64_t seed = 1;
  std::uint64_t phase = 0;  // key of the phase, of its name: other phases draw other masks
  bool evaluation = false;  // masks and pairs that depend on the seed and the sample only
};

// What a micro-batch is made of: one sequence, or, in a window over several documents, one for each
// of them. Empty where there is no such thing.
struct Sample {
  SampleKind kind = SampleKind::kPretraining;
  std::vector<std::int32_t> tokens;        // masks already drawn
  std::vector<std::int32_t> segments;      // of a text; batches add kMatch
  std::vector<std::int32_t> ends;          // of its sequences, the last one tokens.size()
  std::vector<std::int32_t> prefixes;      // of its sequences: tokens that all of the sequence sees
  std::vector<std::int32_t> source;        // what the encoder reads
  Targets targets;                         // tokens that a language model predicts, and where
  std::vector<std::int32_t> token_labels;  // tagging: as long as tokens, -1 where there is none
  std::int32_t sequence_label = -1;        // -1: none
  float value = 0;                         // regression
  std::vector<float> label_set;            // 1 where it carries label k
  std::int32_t answer_first = 0, answer_last = 0;  // places in tokens; both 0: no answer
  bool truncated = false;                          // some of the text did not fit

  void clear() { *this = Sample{}; }
};

// The role that a sample is made for: which of the phase it is, in which walk through its corpus,
// and as which of the kinds.
struct SampleRole {
  std::uint64_t global_sample = 0;
  std::int64_t epoch = 0;
  std::size_t turn = 0;
};

class SampleForm;

// Makes samples; a function of (settings, sample number, role) and of nothing else. How a
// kind is made is said where its form stands: encoder_samples.cpp, window_samples.cpp,
// labelled_samples.cpp, answer_samples.cpp, generation_samples.cpp.
class SampleMaker {
 public:
  // Throws RecipeError when the samples cannot be made of this kind of corpus.
  SampleMaker(Dataset& dataset, const SampleSettings& settings);
  ~SampleMaker();

  // Samples of an epoch, in whatever kind.
  std::int64_t num_samples() const;
  std::size_t num_kinds() const { return forms_.size(); }

  // Makes `sample`, below num_samples().
  void make(std::int64_t sample, const SampleRole& role, Sample& result);

 private:
  std::vector<SampleKind> kinds_;
  std::vector<std::unique_ptr<SampleForm>> forms_;  // one a kind
};

}  // namespace polyphase
