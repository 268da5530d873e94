// SPDX-License-Identifier: Apache-2.0
#include "recipe/sampling_schema.hpp"

namespace polyphase::recipe {

static void describe(Section& section, LengthFilter& filter) {
  section.value("min_tokens", filter.min_tokens, at_least(1));
  section.value("max_tokens", filter.max_tokens, at_least(1));
}

static void describe(Section& section, Curriculum& curriculum) {
  section.choice("by", curriculum.by,
                 {{"length", CurriculumOrder::kLength}, {"score", CurriculumOrder::kScore}});
  section.value("start", curriculum.start, fraction_above_zero());
  section.require("steps", "after so many steps all samples take part");
  section.value("steps", curriculum.steps, at_least(1));
}

static void describe(Section& section, Synonyms& synonyms) {
  section.require("file", "a table of lines word<TAB>synonym<TAB>…");
  section.value("file", synonyms.file);
  section.value("fraction", synonyms.fraction, fraction_above_zero());
}

static void describe(Section& section, Augmentation& augmentation) {
  section.value("mask", augmentation.mask, fraction_below_one());
  section.value("delete", augmentation.remove, fraction_below_one());
  section.value("swap", augmentation.swap, fraction_below_one());
  section.value("span", augmentation.span, fraction_below_one());
  section.section("synonyms", augmentation.synonyms);
}

void describe_sampling(Section& section, Sampling& sampling) {
  section.value("data_temperature", sampling.temperature, positive());
  section.section("filter", sampling.filter);
  section.section("curriculum", sampling.curriculum);
  section.section("augment", sampling.augmentation);
  section.value("mixup", sampling.mixup, fraction_above_zero());
}

}  // namespace polyphase::recipe
