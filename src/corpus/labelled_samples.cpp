// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/error.hpp"
#include "corpus/sample_form.hpp"
#include "corpus/text_layout.hpp"

namespace polyphase {
namespace {

// One or two texts with what is known of them.
class LabelledTexts final : public SampleForm {
 public:
  using SampleForm::SampleForm;

  void make(std::int64_t sample, const SampleRole& role, Sample& result) override {
    dataset_.read_document(sample, text_);
    const auto num_texts = static_cast<std::int64_t>(text_.sentence_starts.size()) - 1;
    if (num_texts > 2) {
      fail<DataError>("{}: sample {} has {} texts, but one or two can be classified; prepare again",
                      dataset_.name(), sample, num_texts);
    }
    augment_text(role, num_texts);
    lay_out_texts(text_, settings_.max_tokens, result);
    set_labels(sample, result);
  }

 private:
  void set_labels(std::int64_t sample, Sample& result) const {
    if (kind_ == SampleKind::kRegression) {
      result.value = text_.value;
    } else if (kind_ == SampleKind::kMultiLabel) {
      result.label_set.assign(dataset_.label_names().size(), 0.0F);
      for (const std::int32_t label : text_.labels)
        result.label_set[checked_label(sample, label, 0)] = 1.0F;
    } else {
      result.sequence_label =
          checked_label(sample, text_.labels.size() == 1 ? text_.labels[0] : -1, 0);
    }
  }
};

// Words with their tags; a word's first piece carries its tag.
class TaggedTexts final : public SampleForm {
 public:
  using SampleForm::SampleForm;

  void make(std::int64_t sample, const SampleRole& role, Sample& result) override {
    dataset_.read_document(sample, text_);
    augment_text(role, 1);
    const auto end = static_cast<std::int64_t>(text_.tokens.size());
    const std::int64_t count = std::min(end, room_for_words(settings_.max_tokens));
    lay_out_words(text_, 0, count, result);
    result.token_labels.assign(result.tokens.size(), -1);
    for (std::int64_t i = 0; i < count; ++i) {
      result.token_labels[i + 1] = checked_label(sample, text_.token_labels.at(i), -1);
    }
    result.truncated = count < end;
  }
};

}  // namespace

std::unique_ptr<SampleForm> make_labelled_samples(Dataset& dataset, const SampleSettings& settings,
                                                  SampleKind kind) {
  if (kind == SampleKind::kTagging) return std::make_unique<TaggedTexts>(dataset, settings, kind);
  return std::make_unique<LabelledTexts>(dataset, settings, kind);
}

}  // namespace polyphase
