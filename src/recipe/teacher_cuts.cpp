// SPDX-License-Identifier: Apache-2.0
#include "recipe/teacher_cuts.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "recipe/checks.hpp"
#include "recipe/faults.hpp"
#include "recipe/load.hpp"

namespace polyphase::recipe {

std::vector<std::int64_t> teacher_cuts(const Recipe& recipe, const Phase& phase,
                                       const Model& teacher) {
  const Distil& distil = *phase.adaptation.distil;
  const bool pair = has_decoder(recipe.model, phase);
  // The last layer of one stack is in the last chunk, whatever the cuts.
  const bool learns = distil.layers == MatchedLayers::kAll
                          ? distil.hidden > 0 || distil.attention > 0
                          : pair && distil.attention > 0;
  const std::int64_t num_chunks = recipe.parallel.pipeline * recipe.parallel.interleave;
  if (recipe.parallel.pipeline == 1 || !learns) return {};
  const Model own = model_of(recipe, phase);
  const std::int64_t n = own.num_layers, decoder_n = pair ? num_decoder_layers_of(own) : 0;
  std::vector<std::int64_t> cuts;
  for (std::int64_t chunk = 0; chunk <= num_chunks; ++chunk) {
    const std::int64_t cut = (n + decoder_n) * chunk / num_chunks;  // of the own layers
    cuts.push_back(cut <= n ? cut * teacher.num_layers / n
                            : teacher.num_layers +
                                  (cut - n) * num_decoder_layers_of(teacher) / decoder_n);
  }
  return cuts;
}

std::string teacher_cut_fault(const Recipe& recipe, std::size_t phase_index,
                              const std::string& name, const Model& teacher) {
  const std::vector<std::int64_t> cuts = teacher_cuts(recipe, recipe.phases[phase_index], teacher);
  if (std::ranges::adjacent_find(cuts) == cuts.end()) return "";
  const Model own = model_of(recipe, recipe.phases[phase_index]);
  return fmt::format(
      "{}.distil.attention needs each layer and the one that it learns from on one stage, but {} "
      "has num_layers {} and num_decoder_layers {}, which, cut into {} chunks (parallel.pipeline × "
      "parallel.interleave) where the {} and {} here are, leave one without any; take a deeper "
      "teacher or fewer chunks, or take attention out",
      phase_path(recipe, phase_index), quoted(name), teacher.num_layers,
      num_decoder_layers_of(teacher), std::ssize(cuts) - 1, own.num_layers,
      num_decoder_layers_of(own));
}

}  // namespace polyphase::recipe
