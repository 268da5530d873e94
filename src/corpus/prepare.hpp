// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "recipe/recipe.hpp"

namespace polyphase {

struct PrepareOptions {
  std::string data_dir;
  int rank = 0, num_ranks = 1;
  std::int64_t shard_text_bytes = std::int64_t{16} << 20;  // of text a shard, about
  // A keyed choice of that many trains the tokenizer.
  std::int64_t max_tokenizer_sentences = 2'000'000;
  bool takes_tokenizer = false;  // that lies in data_dir; none is made
  // Of corpora that phases made: their record (io/lineage.hpp), which goes into corpus.json.
  std::map<std::string, nlohmann::json> made = {};
};

// What one part (train, valid, test) of a corpus holds.
struct PreparedPart {
  std::string corpus, part;
  std::int64_t num_documents = 0, num_sentences = 0, num_tokens = 0, num_shards = 0;
  std::int64_t num_bytes = 0, num_words = 0;  // of the text
  std::int64_t num_skipped = 0;               // bad lines left out
};

struct PrepareSummary {
  std::vector<PreparedPart> parts;     // whole job; on rank 0 after the last stage
  std::int64_t vocab_size = 0;         // likewise
  bool tokenizer_was_current = false;  // nothing was trained
  // Pieces of work of this rank, and those of them that were done before.
  std::int64_t num_units = 0, num_units_current = 0;
  std::int64_t num_tokens_made = 0;   // by this rank
  double tokenize_seconds = 0;        // of this rank
  double tokenizer_seconds = 0;       // training the tokenizer; rank 0
  double tokens_per_second() const {  // of this rank
    return tokenize_seconds > 0 ? static_cast<double>(num_tokens_made) / tokenize_seconds : 0;
  }
};

// The stages of a preparation, in order. Between two of them every rank must have ended the first.
enum class PrepareStage { kScan, kTokenizer, kTokenize, kFinish };
inline constexpr PrepareStage kPrepareStages[] = {PrepareStage::kScan, PrepareStage::kTokenizer,
                                                  PrepareStage::kTokenize, PrepareStage::kFinish};

// Turns the corpora of a recipe into DATA_DIR/tokenizer.model and
// DATA_DIR/CORPUS/{train,valid,test}-NNNN.h5, by any number of ranks that share the folder; the
// files are the same bytes for any number. Work that an earlier run finished from the same sources
// is left alone. The caller runs run_stage() for every stage in order, on all ranks, with a barrier
// (and an agreement on errors) behind each:
//
// - kScan: each rank reads its share of the source files: digests, labels, where parts may be cut;
//   all faults.
// - kTokenizer: rank 0 trains the tokenizer, or keeps it.
// - kTokenize: each rank makes its share of the shards.
// - kFinish: rank 0 writes corpus.json of each corpus, the completion marker, and removes the rest.
//
// File names in the recipe are used as they are: resolve them first. Throws DataError (sources at
// fault, with file:line), RecipeError, or SystemError (disk).
class Preparation {
 public:
  Preparation(const recipe::Recipe& recipe, PrepareOptions options);
  ~Preparation();
  void run_stage(PrepareStage stage);
  const PrepareSummary& summary() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// All stages in one process.
PrepareSummary prepare_alone(const recipe::Recipe& recipe, PrepareOptions options);

}  // namespace polyphase
