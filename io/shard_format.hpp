// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/hdf5_layout.hpp"
#include "io/shard.hpp"

namespace polyphase::shard_format {

// Private to io. On disk: never rename, never reuse.
inline constexpr const char* kFormat = "polyphase shard";
inline constexpr const char* kTokens = "tokens";
inline constexpr const char* kSentenceStarts = "sentence_starts";
inline constexpr const char* kDocumentStarts = "document_starts";
inline constexpr const char* kLabelStarts = "label_starts";
inline constexpr const char* kLabels = "labels";
inline constexpr const char* kValues = "values";
inline constexpr const char* kTokenLabels = "token_labels";

inline hdf5::ElementType token_type(std::int64_t vocab_size) {
  return vocab_size <= 65536 ? hdf5::ElementType::kUint16 : hdf5::ElementType::kUint32;
}

}  // namespace polyphase::shard_format
