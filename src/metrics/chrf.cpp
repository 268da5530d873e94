// SPDX-License-Identifier: Apache-2.0
#include "metrics/chrf.hpp"

#include <algorithm>
#include <unordered_map>

#include "base/error.hpp"
#include "metrics/unicode.hpp"

namespace polyphase {
namespace {

using CharacterCounts = std::unordered_map<std::u32string, std::int64_t>;

std::array<CharacterCounts, kChrfOrder> character_ngrams_of(std::string_view text) {
  std::u32string characters = decode_utf8(text);
  std::erase_if(characters, is_white_space);
  std::array<CharacterCounts, kChrfOrder> ngrams;
  for (std::size_t first = 0; first < characters.size(); ++first) {
    const std::size_t longest = std::min<std::size_t>(kChrfOrder, characters.size() - first);
    for (std::size_t n = 1; n <= longest; ++n) ++ngrams[n - 1][characters.substr(first, n)];
  }
  return ngrams;
}

ChrfCounts compare(const std::array<CharacterCounts, kChrfOrder>& found,
                   const std::array<CharacterCounts, kChrfOrder>& there) {
  ChrfCounts counts;
  for (int n = 0; n < kChrfOrder; ++n) {
    for (const auto& [ngram, count] : there[n]) counts.there[n] += count;
    if (there[n].empty()) continue;  // nothing to find: what was found does not count either
    for (const auto& [ngram, count] : found[n]) {
      counts.found[n] += count;
      const auto match = there[n].find(ngram);
      if (match != there[n].end()) counts.correct[n] += std::min(count, match->second);
    }
  }
  return counts;
}

}  // namespace

ChrfCounts& ChrfCounts::operator+=(const ChrfCounts& other) {
  for (int n = 0; n < kChrfOrder; ++n) {
    found[n] += other.found[n];
    there[n] += other.there[n];
    correct[n] += other.correct[n];
  }
  return *this;
}

ChrfCounts count_chrf(std::string_view translation, const std::vector<std::string>& references) {
  POLYPHASE_PROMISE(!references.empty(), "a translation without a reference");
  const std::array<CharacterCounts, kChrfOrder> found = character_ngrams_of(translation);
  ChrfCounts best;
  double best_score = -1;
  for (const std::string& reference : references) {
    const ChrfCounts counts = compare(found, character_ngrams_of(reference));
    const double score = chrf_of(counts);
    if (score <= best_score) continue;
    best_score = score;
    best = counts;
  }
  return best;
}

double chrf_of(const ChrfCounts& counts) {
  constexpr double kRecallWeight = 4;  // beta squared
  double precision = 0, recall = 0;
  int num_orders = 0;
  for (int n = 0; n < kChrfOrder; ++n) {
    if (counts.found[n] == 0 || counts.there[n] == 0) continue;
    const double correct = static_cast<double>(counts.correct[n]);
    precision += correct / static_cast<double>(counts.found[n]);
    recall += correct / static_cast<double>(counts.there[n]);
    ++num_orders;
  }
  if (precision + recall == 0) return 0;
  precision /= num_orders;
  recall /= num_orders;
  return 100 * (1 + kRecallWeight) * precision * recall / (kRecallWeight * precision + recall);
}

double corpus_chrf(const std::vector<std::string>& translations,
                   const std::vector<std::vector<std::string>>& references) {
  POLYPHASE_PROMISE(translations.size() == references.size(),
                    "{} translations and {} lists of references", translations.size(),
                    references.size());
  ChrfCounts counts;
  for (std::size_t i = 0; i < translations.size(); ++i)
    counts += count_chrf(translations[i], references[i]);
  return chrf_of(counts);
}

}  // namespace polyphase
