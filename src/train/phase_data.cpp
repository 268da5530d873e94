// SPDX-License-Identifier: Apache-2.0
#include "train/phase_data.hpp"

#include <algorithm>
#include <filesystem>

#include "base/digest.hpp"
#include "io/shard.hpp"
#include "recipe/load.hpp"

namespace polyphase {

std::uint64_t phase_key(const std::string& phase_name) {
  return std::stoull(digest(phase_name).substr(0, 16), nullptr, 16);
}

PhaseCorpus::PhaseCorpus(const recipe::Recipe& recipe, const recipe::Phase& phase,
                         const std::string& data_dir)
    : recipe_(recipe), phase_(phase), data_dir_(data_dir), name_(phase.data.begin()->first) {
  POLYPHASE_PROMISE(phase.data.size() == 1, "phase {} has {} corpora", phase.name,
                    phase.data.size());
  const CorpusIndex index =
      read_corpus_index(std::filesystem::path(data_dir) / name_ / "corpus.json");
  tokenizer_digest_ = index.tokenizer_digest;
  std::string contents;
  for (const auto& [part, shards] : index.splits) {
    for (const ShardSummary& shard : shards) {
      for (const auto& [dataset, digest] : shard.digests) contents += digest;
    }
    const bool holds_samples =
        std::any_of(shards.begin(), shards.end(),
                    [](const ShardSummary& shard) { return shard.num_documents > 0; });
    if (holds_samples) parts_.insert(part);
  }
  content_digest_ = digest(contents);
  train_ = open("train");
}

PhaseData PhaseCorpus::phase_data() const {
  return {.vocab_size = train_->vocab_size(), .label_names = train_->label_names()};
}

std::shared_ptr<Dataset> PhaseCorpus::open(const std::string& part) const {
  return open_dataset(data_dir_, name_, part);
}

SampleSettings PhaseCorpus::sample_settings(std::uint64_t phase_key) const {
  SampleSettings settings = {.masked_language_model = phase_.objectives.contains("mlm"),
                             .next_sentence = phase_.objectives.contains("nsp"),
                             .mask_fraction = phase_.mask_fraction,
                             .max_tokens = recipe::max_tokens_of(recipe_, phase_),
                             .seed = recipe_.seed,
                             .phase = phase_key};
  if (phase_.task) {
    settings.kind = phase_.task->kind == recipe::TaskKind::kTagging ? SampleKind::kTagging
                                                                    : SampleKind::kClassification;
  }
  return settings;
}

std::int64_t PhaseCorpus::max_train_samples() const {
  const std::int64_t of_corpus = recipe::find_corpus(recipe_, name_)->max_train_samples;
  const std::int64_t of_phase = phase_.max_train_samples;
  return of_corpus == 0 || of_phase == 0 ? std::max(of_corpus, of_phase)
                                         : std::min(of_corpus, of_phase);
}

}  // namespace polyphase
