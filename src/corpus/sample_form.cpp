// SPDX-License-Identifier: Apache-2.0
#include "corpus/sample_form.hpp"

#include "base/error.hpp"
#include "corpus/draws.hpp"

namespace polyphase {

std::uint64_t SampleForm::key(Purpose purpose) const {
  if (settings_.evaluation) return random_key(settings_.seed, purpose, {2});
  return random_key(settings_.seed, purpose, {1, settings_.phase});
}

void SampleForm::augment_text(const SampleRole& role, std::int64_t num_texts) {
  if (!augmenter_) return;
  Draws draws(key(Purpose::kAugment), role.global_sample);
  const bool places = kind_ == SampleKind::kQuestionAnswering;
  augmenter_->change(text_, num_texts, places ? TextLabels::kPlaces : TextLabels::kNumbers, draws);
}

void SampleForm::add_target(std::int64_t place, std::int32_t label, Sample& result) {
  result.targets.positions.push_back(static_cast<std::int32_t>(place));
  result.targets.labels.push_back(label);
}

std::int32_t SampleForm::checked_label(std::int64_t sample, std::int32_t label,
                                       std::int32_t lowest) const {
  const auto num_labels = static_cast<std::int32_t>(dataset_.label_names().size());
  if (label < lowest || label >= num_labels) {
    fail<DataError>("{}: sample {} has label {}, but the corpus has {} labels; prepare it again",
                    dataset_.name(), sample, label, num_labels);
  }
  return label;
}

}  // namespace polyphase
