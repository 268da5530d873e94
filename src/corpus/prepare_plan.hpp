// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "corpus/prepare_scan.hpp"
#include "recipe/recipe.hpp"

namespace polyphase::prepare {

struct CorpusPlan {
  std::vector<std::string> labels;  // sorted names of the training part
  // Documents with a smaller document_hash are the validation part; 0: none.
  std::uint64_t valid_below = 0;
};

// Everything that follows from the recipe and the scans, the same on every rank.
struct Plan {
  std::vector<SourceFile> sources;
  std::vector<FileScan> scans;      // one a source
  std::vector<CorpusPlan> corpora;  // one a corpus of the recipe
};

// Throws DataError, with file:line, for a validation or test label that the training part lacks
// (unless bad lines are to be skipped), and for a text that is too short to be split; RecipeError
// for a valid_fraction outside [0, 1).
Plan make_plan(const recipe::Recipe& recipe, std::vector<SourceFile> sources,
               std::vector<FileScan> scans);

// The unit of work: a stretch of one source file that becomes one shard of its part (of text, also
// one of the validation part). Units and their numbers do not depend on the number of ranks.
struct Unit {
  std::size_t source = 0;             // index into Plan::sources
  std::string part;                   // of the corpus
  std::int64_t number = 0;            // of the shard, within corpus and part
  std::vector<text::FilePart> lines;  // of every file of the source
  std::string key;                    // digest of all that the shard's bytes follow from
};

std::vector<Unit> units_of(const Plan& plan, const recipe::Recipe& recipe,
                           const std::string& tokenizer_digest);

// The rank that makes each unit: the longest first, each to the rank that has least so far. Every
// rank comes to the same.
std::vector<int> ranks_of(const std::vector<Unit>& units, int num_ranks);

// train-0003 for part "train" and number 3.
std::string shard_stem(const std::string& part, std::int64_t number);

}  // namespace polyphase::prepare
