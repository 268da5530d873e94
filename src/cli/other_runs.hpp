// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "io/lineage.hpp"
#include "recipe/other_run.hpp"

namespace polyphase {

// A finished phase of another run, as its folder has it.
struct OtherRunPhase {
  std::string recipe;  // resolved, of the round that the phase is of
  std::string phase;
  std::string folder;      // of the phase
  std::string checkpoint;  // that is its result
  std::string tokenizer;   // digest
  std::int64_t vocab_size = 0;
  Lineage lineage;  // of that checkpoint
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(OtherRunPhase, recipe, phase, folder, checkpoint, tokenizer,
                                   vocab_size, lineage)

// Looks it up; reads no tensor. RecipeError for a folder that is no run, a phase that it does not
// have or that is not finished, and a run with several of which none is named; DataError for files
// of it that cannot be read.
OtherRunPhase find_other_run_phase(const recipe::Recipe& recipe, const recipe::OtherRun& other);

// Checks all phases of other runs that the recipe, or it with a strategy's changes, still needs:
// that they are there, finished, whole to the last digest, the same as when this run took them, and
// fit the recipe, its tokenizer and the ranks. A phase needs what it starts from until it has a
// checkpoint of its own, and a teacher to its end. One RecipeError lists all faults with their
// places, DataError a damaged checkpoint. For one rank: it reads files and writes none.
void check_other_runs(const recipe::Recipe& recipe, std::int64_t num_ranks);

// RecipeError unless the teachers of other runs can be split over so many ranks as recipe.parallel
// asks.
void check_teacher_layouts(const recipe::Recipe& recipe, std::int64_t num_ranks);

// RecipeError, with both digests, unless the phases of other runs that are needed were trained with
// the tokenizer of the prepared data.
void require_their_tokenizer(const recipe::Recipe& recipe, const std::filesystem::path& data_dir);

// Whether the prepared data keep the tokenizer of a run that this one has taken a phase from: then
// that file is not needed any more, and what it holds now does not matter.
bool has_taken_tokenizer(const recipe::Recipe& recipe, const std::filesystem::path& data_dir);

}  // namespace polyphase
