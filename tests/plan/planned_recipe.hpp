// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "plan/machine.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// A GPT as in Narayanan et al., 2021: learned positions, heads and feed-forward of the usual sizes.
inline recipe::Recipe planned_gpt(std::int64_t layers, std::int64_t width, std::int64_t heads,
                                  std::int64_t tokens, std::int64_t vocabulary) {
  recipe::Recipe recipe;
  recipe.name = "planned";
  recipe.model.family = recipe::Family::kGpt;
  recipe.model.num_layers = layers;
  recipe.model.width = width;
  recipe.model.num_heads = heads;
  recipe.model.max_tokens = tokens;
  recipe.model.norm = recipe::NormPlacement::kPre;
  recipe.model.segments = false;
  recipe.tokenizer.vocab_size = vocabulary;
  recipe::Phase phase;
  phase.name = "pretrain";
  phase.objectives = {{"clm", 1.0}};
  phase.batch = {.sequences = 8, .micro_batch = 2};
  phase.stop.steps = 100;
  recipe.phases = {phase};
  return recipe;
}

// Nodes of two ranks; numbers that are easy to reckon with.
inline Machine small_machine() {
  return parse_machine(R"(
name: small
ranks_a_node: 2
between: {latency_us: 100, gb_s: 1}
storage_gb_s: 2
rates:
  2:
    memory_gib: 1
    products_f32: {128: 100, 512: 300}
    attention_f32: 50
    memory_gb_s: 10
    row_f32_gb_s: 20
    link: {latency_us: 10, gb_s: 4}
)",
                       "small.yaml");
}

}  // namespace polyphase
