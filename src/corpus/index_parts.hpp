// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "corpus/prepare.hpp"
#include "io/shard.hpp"

namespace polyphase::prepare {

// Adds up lines left out; the first few stay in words.
void add_to(SkippedLines& sum, const SkippedLines& more);

// Warns, once for each part of the corpus, of the lines that were left out.
void warn_of_skipped(const CorpusIndex& index);

// What all shards of a part hold together.
PreparedPart sum_of(const CorpusIndex& index, const std::string& part);

}  // namespace polyphase::prepare
