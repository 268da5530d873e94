// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "recipe/recipe.hpp"

// From YAML text to a Recipe and back. Every function throws one RecipeError that lists all faults
// it found, one a line, each with its place: file:line:column, or the override it came from.
// Nothing else is allocated or opened.
namespace polyphase::recipe {

// Reads the recipe file at `path`, then applies overrides written "key.path=value", for instance
// "phases.pretrain.stop.steps=60"; phases and corpora go by their names and a value is YAML.
Recipe load(const std::string& path, const std::vector<std::string>& overrides = {});

// The same from text; `name_for_messages` stands for the file. What relative paths start from is
// the text's own key `folder` (resolved() writes it), else the working directory.
Recipe parse(const std::string& yaml_text, const std::string& name_for_messages,
             const std::vector<std::string>& overrides = {});

// Faults that show only with the number of ranks of the whole job: `parallel.tensor` ×
// `parallel.pipeline` divides it, and the model and each phase's batch divide among the ranks. The
// messages say what would fit.
void check_layout(const Recipe& recipe, std::int64_t num_ranks);

// "2 tensor × 4 data", and with stages "2 tensor × 2 pipeline × 4 data".
std::string layout_words(std::int64_t tensor, std::int64_t pipeline, std::int64_t data);

// Likewise of the recipe with each strategy's changes; of what the job of one phase trains, where
// `only` names it.
void check_strategy_layouts(const Recipe& recipe, std::int64_t num_ranks,
                            const std::string& only = "");

// Checks that every file that the recipe names is there and readable; lists all that are not.
void check_files(const Recipe& recipe);

// The path with ${VARIABLE}s replaced, relative ones put under the recipe's folder.
// Throws RecipeError for a variable that is not set.
std::string absolute_path(const Recipe& recipe, const std::string& path);

// Makes every file of corpora and tokenizer absolute, so that ranks on other nodes need neither the
// folder nor the environment. Hashes change with the paths: take them before.
void resolve(Recipe& recipe);

// The whole recipe as YAML: every default written out, keys in the order of the schema, the same
// text for the same recipe. parse() of it gives the same recipe.
std::string resolved(const Recipe& recipe);

// Digest of all that must stay the same for a run to continue. Not covered: run_dir, folder,
// limits, checkpoint, parallel and slurm, which may differ between continuing runs.
std::string recipe_hash(const Recipe& recipe);

// Digest of all that the result of one phase depends on: seed, tokenizer, model, precision, the
// phase, the chain of phases it starts from, and the corpora these use. Editing a later phase
// leaves it alone.
std::string phase_hash(const Recipe& recipe, std::size_t phase_index);

// What recipe_hash() covers and differs between two resolved texts, as "phases.pretrain.stop.steps:
// 1500 → 3000".
std::vector<std::string> differences(const std::string& resolved_a, const std::string& resolved_b);

// Sequences of one forward pass on one rank. Left at 0 in the recipe, it is the largest power of
// two that divides `sequences` and is at most 32 and a quarter of them: independent of the ranks,
// since sums must be, too.
std::int64_t micro_batch_of(const Phase& phase);

// The phase's own dropout and length where it has them, else the model's.
double dropout_of(const Recipe& recipe, const Phase& phase);
double attention_dropout_of(const Recipe& recipe, const Phase& phase);
double embedding_dropout_of(const Recipe& recipe, const Phase& phase);
double head_dropout_of(const Recipe& recipe, const Phase& phase);
double layer_drop_of(const Recipe& recipe, const Phase& phase);
std::int64_t max_tokens_of(const Recipe& recipe, const Phase& phase);

// A family's usual values (families.cpp names their papers): what a recipe's model starts from.
Model family_defaults(Family family);

// The model that a phase trains: the recipe's, of the phase's own depth.
Model model_of(const Recipe& recipe, const Phase& phase);

// The layer of a stack of k that fills layer i of one of n. Stack: i mod k (Gong et al., 2019).
// Interpose, and skip for a shallower one: i · k / n, rounded down. Identity: i itself, and above
// the k, where what a layer writes to the residual stream is set to zero, i mod k.
std::int64_t layer_source(Growth growth, std::int64_t i, std::int64_t k, std::int64_t n);
const char* growth_name(Growth growth);

// Names of the phases of its own run whose models a phase takes or learns from.
std::vector<std::string> needed_phases(const Phase& phase);

// Names of the phases that make corpora which the phase trains on.
std::vector<std::string> makers_of(const Recipe& recipe, const Phase& phase);

// The recipe without the corpora that its phases make: what can be prepared before any phase.
Recipe without_made_corpora(const Recipe& recipe);

// Sizes of the model that the recipe may leave at 0.
std::int64_t feed_forward_of(const Model& model);
std::int64_t head_width_of(const Model& model);
std::int64_t num_key_heads_of(const Model& model);
std::int64_t num_decoder_layers_of(const Model& model);  // 0 where there is no decoder stack
// Whether a phase trains an encoder with a decoder. Of t5, tasks that label a text rather than
// write one have their head on the encoder, and no decoder.
bool has_decoder(const Model& model, const Phase& phase);

// Rows of the token table: the tokenizer's pieces, and behind them, for t5, the sentinels that
// stand for corrupted spans (Raffel et al., 2020, section 3.1.4).
inline constexpr std::int64_t kNumSentinels = 100;
std::int64_t num_token_ids(const Model& model, std::int64_t vocab_size);

// The corpus' own format, else the default one of its kind.
CorpusFormat format_of(const Corpus& corpus);

// The wrong names give nullptr.
const Corpus* find_corpus(const Recipe& recipe, const std::string& name);
const Phase* find_phase(const Recipe& recipe, const std::string& name);

// Names of the corpora that the tokenizer is trained on: as written, else all text corpora, else
// all that have files. Empty when a finished model is given.
std::vector<std::string> tokenizer_corpora(const Recipe& recipe);

// Metrics of a phase's whole validation or test part, which the sections iterate and stop.early may
// name after "valid.". Those of several objectives carry their objective's name in front.
std::vector<std::string> metrics_of(const Phase& phase);

// Those, and of a mixture each corpus' own, with its name in front: "topics.accuracy".
std::vector<std::string> evaluated_metrics(const Phase& phase);

}  // namespace polyphase::recipe
