// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace polyphase {

// Corpus BLEU (Papineni et al. 2002) as sacreBLEU computes it by default (Post 2018): signature
// case:mixed|eff:no|tok:13a|smooth:exp, n-grams of up to 4 words.

inline constexpr int kBleuOrder = 4;

// Words of a sentence as mteval-v13a separates them, joined by single blanks.
std::string tokenize_13a(std::string_view sentence);

// Counts of a part of a corpus; those of data-parallel ranks are added by +=.
struct BleuCounts {
  std::array<std::int64_t, kBleuOrder> correct = {};  // n-grams also in a reference
  std::array<std::int64_t, kBleuOrder> total = {};    // n-grams of the translations
  std::int64_t num_words = 0;
  std::int64_t num_reference_words = 0;  // of the references nearest in length

  BleuCounts& operator+=(const BleuCounts& other);
};

// Counts of one translation against its references, at least one, else std::logic_error. Both are
// raw text. An n-gram is correct as often as the reference that has most of it holds it.
BleuCounts count_bleu(std::string_view translation, const std::vector<std::string>& references);

struct Bleu {
  double score = 0;                                // 0 to 100
  std::array<double, kBleuOrder> precisions = {};  // in percent
  double brevity_penalty = 1;
};

// BLEU of whole counts. An order without a correct n-gram counts as half a correct one, the next
// such as a quarter, and so on (method 3 of Chen and Cherry 2014); 0 when nothing is correct.
Bleu bleu_of(const BleuCounts& counts);

// BLEU of a corpus: one list of references a translation.
Bleu corpus_bleu(const std::vector<std::string>& translations,
                 const std::vector<std::vector<std::string>>& references);

}  // namespace polyphase
