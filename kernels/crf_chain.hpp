// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/crf.hpp"
#include "kernels/for_rows.hpp"
#include "kernels/math.hpp"

namespace polyphase {

// log Σ_k exp(term(k)), shifted by the largest term.
template <class Term>
KOKKOS_INLINE_FUNCTION float log_sum_exp(const Row& row, std::int64_t count, const Term& term) {
  const float largest = row.max(count, term);
  const float sum = row.sum(count, [=](std::int64_t k) { return fast_exp(term(k) - largest); });
  return largest + math::log(sum);
}

// Emissions and tag scores of a chain as its loops read them: the end's score belongs to the last
// word.
struct Chain {
  CrfWords words;
  CrfParameters scores;
  std::int64_t num_tags;

  Chain(const CrfWords& of, const CrfParameters& with)
      : words(of), scores(with), num_tags(static_cast<std::int64_t>(with.start_K.extent(0))) {}

  KOKKOS_INLINE_FUNCTION const float* emission(std::int64_t t) const {
    return row_data(words.emission_MK, t);
  }
  KOKKOS_INLINE_FUNCTION float emission_of(std::int64_t t, std::int64_t k, std::int64_t end) const {
    return emission(t)[k] + (t + 1 == end ? scores.end_K(k) : 0.0F);
  }
  // into[k] = what word t adds to tag k, but for transitions.
  KOKKOS_INLINE_FUNCTION void word_scores(const Row& row, float* into, std::int64_t t,
                                          std::int64_t begin, std::int64_t end) const {
    const float *from = emission(t), *first = scores.start_K.data(), *last = scores.end_K.data();
    const float to_first = t == begin ? 1.0F : 0.0F, to_last = t + 1 == end ? 1.0F : 0.0F;
    row.each(num_tags,
             [=](std::int64_t k) { into[k] = from[k] + to_first * first[k] + to_last * last[k]; });
  }

  // What the labels of word t and of the one before add to their sentence's score: 0 without them.
  KOKKOS_INLINE_FUNCTION double label_score(std::int64_t t, std::int64_t begin,
                                            std::int64_t end) const {
    const std::int32_t label = words.label_M(t);
    if (label < 0) return 0.0;
    const float before =
        t == begin ? scores.start_K(label) : scores.transition_KK(words.label_M(t - 1), label);
    return static_cast<double>(emission_of(t, label, end)) + static_cast<double>(before);
  }
};

}  // namespace polyphase
