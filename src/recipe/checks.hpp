// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "recipe/faults.hpp"
#include "recipe/other_run.hpp"
#include "recipe/recipe.hpp"

namespace polyphase::recipe {

// Faults that show only when several keys are seen together: names, references, and numbers that
// must divide.
void check_recipe(const Recipe& recipe, const std::map<std::string, Place>& places, Faults& faults);

// Its part on tokenizer and corpora.
void check_corpora(const Recipe& recipe, const std::map<std::string, Place>& places,
                   Faults& faults);

// Its part on what a phase takes of its corpora; `path` is the phase's.
void check_sampling(const Recipe& recipe, const Phase& phase, const std::string& path,
                    const std::map<std::string, Place>& places, Faults& faults);

// Its part on a phase's regularisation; `path` is the phase's.
void check_regularisation(const Phase& phase, const std::string& path,
                          const std::map<std::string, Place>& places, Faults& faults);

// Its part on the depth of a phase, its teacher and its low-rank additions.
void check_adaptation(const Recipe& recipe, std::size_t phase_index,
                      const std::map<std::string, Place>& places, Faults& faults);

// The same of a phase of another run, whose model has the same family.
void check_other_adaptation(const Recipe& recipe, const OtherRunUse& use, const Recipe& theirs,
                            const Phase& their_phase, const std::map<std::string, Place>& places,
                            Faults& faults);

// Its part on phases that make corpora, and on these corpora.
void check_generation(const Recipe& recipe, const std::map<std::string, Place>& places,
                      Faults& faults);

// Its part on Slurm jobs.
void check_slurm(const Recipe& recipe, const std::map<std::string, Place>& places, Faults& faults);

// Keys whose product is the number of ranks that share one copy of the model.
inline const char* copy_keys(const Parallel& parallel) {
  return parallel.pipeline == 1 ? "parallel.tensor" : "parallel.tensor × parallel.pipeline";
}

// The place of the key, else of the nearest section around it that has one.
Place nearest_place(const std::map<std::string, Place>& places, std::string path);

// "phases.pretrain", or "phases[2]" when an earlier phase has the name.
std::string phase_path(const Recipe& recipe, std::size_t index);

// The corpus for want of whose validation part "valid.METRIC" of the phase cannot be measured: a
// mixture needs that of one corpus at least, "valid.CORPUS.METRIC" that of its corpus. "": it can.
std::string corpus_without_validation(const Recipe& recipe, const Phase& phase,
                                      const std::string& metric);
// What to do about that corpus.
std::string remedy_without_validation(const Recipe& recipe, const std::string& corpus);

}  // namespace polyphase::recipe
