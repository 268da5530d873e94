// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace polyphase {

// Ids of the special pieces in every vocabulary. On disk in tokenizers and shards: never renumber.
inline constexpr std::int32_t kPadToken = 0;
inline constexpr std::int32_t kUnknownToken = 1;
inline constexpr std::int32_t kClassToken = 2;      // [CLS]
inline constexpr std::int32_t kSeparatorToken = 3;  // [SEP]
inline constexpr std::int32_t kMaskToken = 4;       // [MASK]
inline constexpr std::int32_t kNumSpecialTokens = 5;

}  // namespace polyphase
