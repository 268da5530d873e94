// SPDX-License-Identifier: Apache-2.0
#include "metrics/bleu.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <unordered_map>

#include "base/error.hpp"
#include "metrics/unicode.hpp"

namespace polyphase {
namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_period_or_comma(char c) { return c == '.' || c == ','; }

// ASCII punctuation and blanks, except apostrophe, comma, hyphen and period.
bool stands_alone(char c) {
  return (c >= ' ' && c <= '&') || (c >= '(' && c <= '+') || c == '/' || (c >= ':' && c <= '@') ||
         (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

std::string separate_punctuation(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (stands_alone(c)) {
      result += {' ', c, ' '};
    } else {
      result += c;
    }
  }
  return result;
}

// Rewrites, from the left and without overlap, every pair of neighbours that `matches`.
template <class Matches, class Rewrite>
std::string rewrite_pairs(std::string_view text, Matches matches, Rewrite rewrite) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i + 1 < text.size() && matches(text[i], text[i + 1])) {
      result += rewrite(text[i], text[i + 1]);
      ++i;
    } else {
      result += text[i];
    }
  }
  return result;
}

// How often each n-gram occurs; its words are joined by blanks, which no word holds.
using NgramCounts = std::unordered_map<std::string, std::int64_t>;

struct Ngrams {
  std::array<NgramCounts, kBleuOrder> by_order;
  std::int64_t num_words = 0;
};

Ngrams ngrams_of(std::string_view sentence) {
  std::vector<std::string> words;
  for (const std::u32string& word : split_words(decode_utf8(tokenize_13a(sentence))))
    words.push_back(encode_utf8(word));
  Ngrams ngrams = {.num_words = static_cast<std::int64_t>(words.size())};
  for (std::size_t first = 0; first < words.size(); ++first) {
    std::string ngram;
    for (std::size_t n = 0; n < kBleuOrder && first + n < words.size(); ++n) {
      if (n > 0) ngram += ' ';
      ngram += words[first + n];
      ++ngrams.by_order[n][ngram];
    }
  }
  return ngrams;
}

}  // namespace

std::string tokenize_13a(std::string_view sentence) {
  std::u32string code_points = decode_utf8(sentence);
  while (!code_points.empty() && is_white_space(code_points.back())) code_points.pop_back();
  std::string text = encode_utf8(code_points);
  replace_all(text, "<skipped>", "");
  replace_all(text, "-\n", "");
  replace_all(text, "\n", " ");
  replace_all(text, "&quot;", "\"");
  replace_all(text, "&amp;", "&");
  replace_all(text, "&lt;", "<");
  replace_all(text, "&gt;", ">");
  text = separate_punctuation(" " + text + " ");
  // Bytes beyond ASCII are no digits, so that pairs of bytes split where pairs of characters would.
  text = rewrite_pairs(
      text, [](char a, char b) { return !is_digit(a) && is_period_or_comma(b); },
      [](char a, char b) {
        return std::string{a, ' ', b, ' '};
      });
  text = rewrite_pairs(
      text, [](char a, char b) { return is_period_or_comma(a) && !is_digit(b); },
      [](char a, char b) {
        return std::string{' ', a, ' ', b};
      });
  text = rewrite_pairs(
      text, [](char a, char b) { return is_digit(a) && b == '-'; },
      [](char a, char b) {
        return std::string{a, ' ', b, ' '};
      });
  std::string result;
  for (const std::u32string& word : split_words(decode_utf8(text))) {
    if (!result.empty()) result += ' ';
    result += encode_utf8(word);
  }
  return result;
}

BleuCounts& BleuCounts::operator+=(const BleuCounts& other) {
  for (int n = 0; n < kBleuOrder; ++n) {
    correct[n] += other.correct[n];
    total[n] += other.total[n];
  }
  num_words += other.num_words;
  num_reference_words += other.num_reference_words;
  return *this;
}

BleuCounts count_bleu(std::string_view translation, const std::vector<std::string>& references) {
  POLYPHASE_PROMISE(!references.empty(), "a translation without a reference");
  const Ngrams found = ngrams_of(translation);
  std::array<NgramCounts, kBleuOrder> most;
  BleuCounts counts = {.num_words = found.num_words, .num_reference_words = -1};
  for (const std::string& reference : references) {
    const Ngrams there = ngrams_of(reference);
    for (int n = 0; n < kBleuOrder; ++n) {
      for (const auto& [ngram, count] : there.by_order[n])
        most[n][ngram] = std::max(most[n][ngram], count);
    }
    const std::int64_t distance = std::abs(found.num_words - there.num_words),
                       nearest = std::abs(found.num_words - counts.num_reference_words);
    const bool shorter = distance == nearest && there.num_words < counts.num_reference_words;
    if (counts.num_reference_words < 0 || distance < nearest || shorter)
      counts.num_reference_words = there.num_words;
  }
  for (int n = 0; n < kBleuOrder; ++n) {
    for (const auto& [ngram, count] : found.by_order[n]) {
      counts.total[n] += count;
      const auto match = most[n].find(ngram);
      if (match != most[n].end()) counts.correct[n] += std::min(count, match->second);
    }
  }
  return counts;
}

Bleu bleu_of(const BleuCounts& counts) {
  Bleu bleu;
  const double words = static_cast<double>(counts.num_words),
               reference_words = static_cast<double>(counts.num_reference_words);
  if (counts.num_words < counts.num_reference_words)
    bleu.brevity_penalty = counts.num_words > 0 ? std::exp(1 - reference_words / words) : 0.0;
  if (std::accumulate(counts.correct.begin(), counts.correct.end(), std::int64_t{0}) == 0)
    return bleu;
  double sum_of_logarithms = 0, halved = 1;
  for (int n = 0; n < kBleuOrder; ++n) {
    const double total = static_cast<double>(counts.total[n]);
    if (total == 0) return bleu;  // no translation is that long: a precision of 0
    if (counts.correct[n] == 0) halved *= 2;
    bleu.precisions[n] = counts.correct[n] == 0
                             ? 100.0 / (halved * total)
                             : 100.0 * static_cast<double>(counts.correct[n]) / total;
    sum_of_logarithms += std::log(bleu.precisions[n]);
  }
  bleu.score = bleu.brevity_penalty * std::exp(sum_of_logarithms / kBleuOrder);
  return bleu;
}

Bleu corpus_bleu(const std::vector<std::string>& translations,
                 const std::vector<std::vector<std::string>>& references) {
  POLYPHASE_PROMISE(translations.size() == references.size(),
                    "{} translations and {} lists of references", translations.size(),
                    references.size());
  BleuCounts counts;
  for (std::size_t i = 0; i < translations.size(); ++i)
    counts += count_bleu(translations[i], references[i]);
  return bleu_of(counts);
}

}  // namespace polyphase
