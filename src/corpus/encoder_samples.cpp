// SPDX-License-Identifier: Apache-2.0
#include "corpus/sample_form.hpp"
#include "corpus/sentence_pair.hpp"
#include "text/tokenizer.hpp"

namespace polyphase {
namespace {

// [CLS] text [SEP], or [CLS] A [SEP] B [SEP] where a pair is asked for.
//
// Masks are drawn anew in every epoch (masking.hpp); those of an evaluation are the same every
// time.
//
// Next sentence: B follows A (label 0) or comes from another document (label 1), by a fair keyed
// coin. Every anchor sentence of a document of several gives a pair of neighbours (A, B): A starts
// at the anchor and B follows it; the last sentence of a document is the B of the sentence before
// it. For label 1, B is replaced by the B of *another* random anchor's pair, under the same limits
// of length. So both classes see the same A's and the same B's, and only whether they belong
// together tells them apart: neither lengths nor the lack of a next sentence gives the label away.
// The only sentence of a document has no neighbour: it is a sample of one text and without a label,
// for the other objectives.
//
// Sentence order (Lan et al., 2020, section 3.1): always neighbours, swapped for label 1.
class EncoderSamples final : public SampleForm {
 public:
  EncoderSamples(Dataset& dataset, const SampleSettings& settings, SampleKind kind)
      : SampleForm(dataset, settings, kind),
        mask_key_(key(Purpose::kMask)),
        pair_key_(key(Purpose::kNextSentence)) {}

  void make(std::int64_t sample, const SampleRole& role, Sample& result) override {
    append(text::kClsId, 0, result);
    const bool pairs = kind_ != SampleKind::kPretraining;
    if (!pairs || !make_pair(sample, role.global_sample, result)) make_text(sample, result);
    if (!settings_.masked_language_model) return;
    Draws draws(mask_key_, role.global_sample);
    draw_masks(result.tokens,
               {.fraction = settings_.mask_fraction,
                .vocab_size = dataset_.vocab_size(),
                .begins_word = settings_.begins_word.get()},
               draws, result.targets);
  }

 private:
  void make_text(std::int64_t sample, Sample& result) {
    const Dataset::Document document = dataset_.document_of(sample);
    const std::int64_t room = settings_.max_tokens - 2;
    const std::int64_t most = document.first_sentence + document.num_sentences - sample;
    TextRange range = whole_sentences(dataset_, sample, most, room);
    result.truncated = range.num_tokens > room;
    range.num_tokens = std::min(range.num_tokens, room);
    append_text(range, 0, result);
  }

  // False for a document of one sentence, of which there is no pair.
  bool make_pair(std::int64_t sample, std::uint64_t global_sample, Sample& result) {
    Draws draws(pair_key_, global_sample);
    const auto pair = kind_ == SampleKind::kSentenceOrder
                          ? draw_ordered_pair(dataset_, sample, settings_.max_tokens - 3, draws)
                          : draw_labelled_pair(dataset_, sample, settings_.max_tokens - 3, draws);
    if (!pair) return false;
    append_text(pair->a, 0, result);
    append_text(pair->b, 1, result);
    result.sequence_label = pair->label;
    result.truncated = pair->truncated;
    return true;
  }

  void append_text(const TextRange& range, std::int32_t segment, Sample& result) {
    dataset_.read_sentences(range.first_sentence, range.num_sentences, text_);
    append(text_, range.skip, range.num_tokens, segment, result);
    append(text::kSepId, segment, result);
  }

  std::uint64_t mask_key_, pair_key_;
};

}  // namespace

std::unique_ptr<SampleForm> make_encoder_samples(Dataset& dataset, const SampleSettings& settings,
                                                 SampleKind kind) {
  return std::make_unique<EncoderSamples>(dataset, settings, kind);
}

}  // namespace polyphase
