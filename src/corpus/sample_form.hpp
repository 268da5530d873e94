// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>

#include "base/philox.hpp"
#include "corpus/sample.hpp"
#include "corpus/text_layout.hpp"

namespace polyphase {

// One way to make samples of a corpus. make() gets an empty sample.
class SampleForm {
 public:
  SampleForm(Dataset& dataset, const SampleSettings& settings, SampleKind kind)
      : dataset_(dataset), settings_(settings), kind_(kind) {
    if (settings.augmentation && !settings.evaluation) augmenter_.emplace(*settings.augmentation);
  }
  virtual ~SampleForm() = default;

  virtual std::int64_t num_samples() const { return dataset_.num_samples(); }
  virtual void make(std::int64_t sample, const SampleRole& role, Sample& result) = 0;

 protected:
  // The key of random draws: of the phase in training, the same for all phases in evaluation.
  std::uint64_t key(Purpose purpose) const;

  static void append(std::int32_t token, std::int32_t segment, Sample& result) {
    append_token(token, segment, result);
  }
  static void append(const ShardText& text, std::int64_t first, std::int64_t count,
                     std::int32_t segment, Sample& result) {
    append_tokens(text, first, count, segment, result);
  }
  static void add_target(std::int64_t place, std::int32_t label, Sample& result);
  // DataError for a label outside [lowest, number of labels).
  std::int32_t checked_label(std::int64_t sample, std::int32_t label, std::int32_t lowest) const;

  // In training, and where the phase wants it, changes the first `num_texts` texts of text_
  // (corpus/augmentation.hpp).
  void augment_text(const SampleRole& role, std::int64_t num_texts);

  Dataset& dataset_;
  const SampleSettings settings_;
  const SampleKind kind_;
  ShardText text_;  // memory that is used again

 private:
  std::optional<Augmenter> augmenter_;
};

std::unique_ptr<SampleForm> make_encoder_samples(Dataset& dataset, const SampleSettings& settings,
                                                 SampleKind kind);
std::unique_ptr<SampleForm> make_window_samples(Dataset& dataset, const SampleSettings& settings,
                                                SampleKind kind);
std::unique_ptr<SampleForm> make_labelled_samples(Dataset& dataset, const SampleSettings& settings,
                                                  SampleKind kind);
std::unique_ptr<SampleForm> make_answer_samples(Dataset& dataset, const SampleSettings& settings,
                                                SampleKind kind);
// Span corruption, the end of a text from its beginning, and text from text.
std::unique_ptr<SampleForm> make_span_samples(Dataset& dataset, const SampleSettings& settings,
                                              SampleKind kind);
std::unique_ptr<SampleForm> make_parted_samples(Dataset& dataset, const SampleSettings& settings,
                                                SampleKind kind);
std::unique_ptr<SampleForm> make_generation_samples(Dataset& dataset,
                                                    const SampleSettings& settings,
                                                    SampleKind kind);

}  // namespace polyphase
