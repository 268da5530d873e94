// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace polyphase {

// Corpus chrF2 (Popović 2015) as sacreBLEU computes it by default: signature
// case:mixed|eff:yes|nc:6|nw:0|space:no, so n-grams of up to 6 characters without white space.

inline constexpr int kChrfOrder = 6;

// Counts of a part of a corpus, by order; those of data-parallel ranks are added by +=.
struct ChrfCounts {
  std::array<std::int64_t, kChrfOrder> found = {};    // n-grams of translations
  std::array<std::int64_t, kChrfOrder> there = {};    // n-grams of references
  std::array<std::int64_t, kChrfOrder> correct = {};  // in both

  ChrfCounts& operator+=(const ChrfCounts& other);
};

// Counts of one translation against the reference with which it scores best (the first of equals).
// At least one reference, else std::logic_error.
ChrfCounts count_chrf(std::string_view translation, const std::vector<std::string>& references);

// chrF2 of whole counts, 0 to 100: precision and recall are means over the orders that both sides
// have, and recall weighs twice as much (beta = 2).
double chrf_of(const ChrfCounts& counts);

// chrF2 of a corpus: one list of references a translation.
double corpus_chrf(const std::vector<std::string>& translations,
                   const std::vector<std::vector<std::string>>& references);

}  // namespace polyphase
