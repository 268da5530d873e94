// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

// What a phase takes of its corpora's training parts, in which proportion and order, and what it
// does to the texts.
namespace polyphase::recipe {

// Samples of these lengths only. A sample of a labelled corpus is as long as all its texts
// together, one of running text as its first sentence; without special tokens and uncut.
struct LengthFilter {
  std::int64_t min_tokens = 1;
  std::optional<std::int64_t> max_tokens;
};

// From easy to hard samples (corpus/curriculum.hpp).
enum class CurriculumOrder { kLength, kScore };
struct Curriculum {
  CurriculumOrder by = CurriculumOrder::kLength;
  double start = 0.01;     // share of the samples, the easiest, that the phase begins with
  std::int64_t steps = 0;  // required: after so many all samples take part
};

struct Synonyms {
  std::string file;       // word<TAB>synonym<TAB>…, a line a word
  double fraction = 0.1;  // of the words that the file has
};

// Fractions of the words of a text (corpus/augmentation.hpp).
struct Augmentation {
  double mask = 0, remove = 0, swap = 0, span = 0;  // `delete` in a recipe
  std::optional<Synonyms> synonyms;
};

struct Sampling {
  std::optional<double> temperature;  // weights of corpora times size^(1/temperature)
  std::optional<LengthFilter> filter;
  std::optional<Curriculum> curriculum;
  std::optional<Augmentation> augmentation;
  std::optional<double> mixup;  // alpha of MixUp's Beta distribution
};

}  // namespace polyphase::recipe
