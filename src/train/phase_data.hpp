// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "corpus/batch_stream.hpp"
#include "corpus/dataset.hpp"
#include "corpus/sample.hpp"
#include "corpus/training_samples.hpp"
#include "io/lineage.hpp"
#include "io/shard.hpp"
#include "recipe/recipe.hpp"
#include "train/phase_model.hpp"

namespace polyphase {

// A phase's number for random keys: of its name, so that phases added before it change nothing.
std::uint64_t phase_key(const std::string& phase_name);

// The samples that a self-supervised objective is trained on; empty: whatever there are (mlm).
std::optional<SampleKind> sample_kind_of(const std::string& objective);
// Those of a phase's objectives or task, in the order in which they take turns.
std::vector<SampleKind> sample_kinds_of(const recipe::Phase& phase);

BatchSizes batch_sizes_of(const recipe::Phase& phase);

// Digest of a prepared corpus' tokens and labels.
std::string digest_of_contents(const CorpusIndex& index);

// What a phase's corpora are opened for: training needs what changes texts, too.
enum class CorpusUse { kTraining, kEvaluation };

// One part (train, valid, test) of one corpus.
struct CorpusPart {
  std::string corpus;
  std::shared_ptr<Dataset> dataset;
};

// The prepared corpora that a phase trains on, in the order of their names, and how samples are
// made of them.
class PhaseCorpus {
 public:
  // Throws DataError when a corpus is not prepared in data_dir or the table of synonyms is none,
  // RecipeError for corpora whose labels differ.
  PhaseCorpus(const recipe::Recipe& recipe, const recipe::Phase& phase, const std::string& data_dir,
              CorpusUse use);

  std::string name() const;  // "A", of several "A + B"
  std::size_t num_corpora() const { return names_.size(); }
  // Digests of the tokenizer and of all prepared tokens and labels, and of the table of synonyms
  // where training uses one: what a checkpoint was trained on.
  const std::string& tokenizer_digest() const { return tokenizer_digest_; }
  const std::string& content_digest() const { return content_digest_; }
  // By corpus.
  const std::map<std::string, std::string>& corpus_digests() const { return corpus_digests_; }
  // Of those that phases made, what made them.
  const std::map<std::string, std::shared_ptr<const Lineage>>& made() const { return made_; }
  PhaseData phase_data() const;
  // Whether any of the corpora has it.
  bool has(const std::string& part) const { return parts_.contains(part); }
  // The part of every corpus that has it; never empty where has() holds.
  std::vector<CorpusPart> open(const std::string& part) const;
  // The first corpus' training part: what holds for all (vocabulary, labels) can be asked of it.
  std::shared_ptr<Dataset> train() const { return train_.front().dataset; }
  std::vector<TrainingSource> training_sources() const;
  SampleSettings sample_settings(std::uint64_t phase_key) const;
  // What the recipe's weights, filter and caps come to, for people; "" where all samples of one
  // corpus are trained on.
  std::string choice_text(const BatchStream& stream) const;

 private:
  void read_index(const std::string& name, std::string& contents);
  void check_labels() const;

  const recipe::Recipe& recipe_;
  const recipe::Phase& phase_;
  std::string data_dir_, tokenizer_digest_, content_digest_;
  std::map<std::string, std::string> corpus_digests_;
  std::map<std::string, std::shared_ptr<const Lineage>> made_;
  std::vector<std::string> names_;
  std::map<std::string, std::set<std::string>> parts_;  // part → corpora that have it
  std::vector<CorpusPart> train_;
  std::shared_ptr<const std::vector<bool>> begins_word_;  // where something goes by whole words
  std::shared_ptr<const Augmentation> augmentation_;
};

}  // namespace polyphase
