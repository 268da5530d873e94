// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/dropout.hpp"
#include "kernels/for_rows.hpp"

namespace polyphase {

// A Dropout made ready for a kernel.
struct DropoutRule {
  std::uint64_t key;
  std::uint32_t threshold;
  float keep_scale;
  Tensor1<const std::uint64_t> row_ids_N;

  explicit DropoutRule(const Dropout& dropout)
      : key(dropout.key),
        threshold(dropout_threshold(dropout.rate)),
        keep_scale(1.0F / (1.0F - dropout.rate)),
        row_ids_N(dropout.row_ids_N) {}
};

// Calls body(c, factor) for the columns of a row; an element times its factor is the element after
// dropout. (A template over the row, so that each compiler sees only its own half.)
template <class AnyRow, class Body>
KOKKOS_INLINE_FUNCTION void each_with_dropout(const AnyRow& row, std::int64_t num_columns,
                                              const DropoutRule& rule, std::uint64_t row_id,
                                              const Body& body) {
  if constexpr (AnyRow::kOnDevice) {
    row.each(num_columns, [&](std::int64_t c) {
      body(c, dropout_scale(rule.key, row_id, c / 8, static_cast<std::uint32_t>(c % 8),
                            rule.threshold, rule.keep_scale));
    });
  } else {
    constexpr std::int64_t kBlocks = 16;
    float factors[8 * kBlocks];
    for (std::int64_t begin = 0; begin < num_columns; begin += 8 * kBlocks) {
      dropout_scale_row(rule.key, row_id, begin / 8, kBlocks, rule.threshold, rule.keep_scale,
                        factors);
      row.each(smaller(8 * kBlocks, num_columns - begin),
               [&](std::int64_t c) { body(begin + c, factors[c]); });
    }
  }
}

}  // namespace polyphase
