// SPDX-License-Identifier: Apache-2.0
#include "train/phase_data.hpp"

#include <algorithm>
#include <filesystem>

#include "base/digest.hpp"
#include "corpus/prepare_tokenizer.hpp"
#include "io/shard.hpp"
#include "recipe/load.hpp"
#include "text/tokenizer.hpp"

namespace polyphase {

namespace {

SampleKind sample_kind_of(const recipe::Phase& phase) {
  if (!phase.task) {
    if (phase.objectives.contains("clm")) return SampleKind::kCausal;
    if (phase.objectives.contains("prefix_lm")) return SampleKind::kPrefix;
    if (phase.objectives.contains("span")) return SampleKind::kSpans;
    return SampleKind::kPretraining;
  }
  switch (phase.task->kind) {
    case recipe::TaskKind::kClassification:
      return SampleKind::kClassification;
    case recipe::TaskKind::kRegression:
      return SampleKind::kRegression;
    case recipe::TaskKind::kMultiLabel:
      return SampleKind::kMultiLabel;
    case recipe::TaskKind::kTagging:
      return SampleKind::kTagging;
    case recipe::TaskKind::kQuestionAnswering:
      return SampleKind::kQuestionAnswering;
    case recipe::TaskKind::kGeneration:
      return SampleKind::kGeneration;
  }
  broken_promise(__FILE__, __LINE__, "unknown task");
}

// For every token id, whether a word begins with it.
std::shared_ptr<const std::vector<bool>> word_beginnings(const std::string& data_dir) {
  const text::Tokenizer tokenizer =
      text::Tokenizer::load(prepare::tokenizer_path(data_dir).string());
  auto begins = std::make_shared<std::vector<bool>>();
  for (std::int64_t id = 0; id < tokenizer.vocab_size(); ++id)
    begins->push_back(tokenizer.starts_word(id));
  return begins;
}

}  // namespace

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
  const auto has = [&](const char* objective) { return phase_.objectives.contains(objective); };
  SampleSettings settings = {.kind = sample_kind_of(phase_),
                             .masked_language_model = has("mlm"),
                             .next_sentence = has("nsp"),
                             .sentence_order = has("sop"),
                             .mask_fraction = phase_.mask_fraction,
                             .span_tokens = phase_.span_tokens,
                             .encoder_decoder = recipe::has_decoder(recipe_.model, phase_),
                             .max_tokens = recipe::max_tokens_of(recipe_, phase_),
                             .first_sentinel = static_cast<std::int32_t>(train_->vocab_size()),
                             .num_sentinels = static_cast<std::int32_t>(recipe::kNumSentinels),
                             .seed = recipe_.seed,
                             .phase = phase_key};
  if (phase_.whole_words) settings.begins_word = word_beginnings(data_dir_);
  return settings;
}

std::int64_t PhaseCorpus::max_train_samples() const {
  const std::int64_t of_corpus = recipe::find_corpus(recipe_, name_)->max_train_samples;
  const std::int64_t of_phase = phase_.max_train_samples;
  return of_corpus == 0 || of_phase == 0 ? std::max(of_corpus, of_phase)
                                         : std::min(of_corpus, of_phase);
}

}  // namespace polyphase
