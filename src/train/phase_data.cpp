// SPDX-License-Identifier: Apache-2.0
#include "train/phase_data.hpp"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <numeric>

#include "base/digest.hpp"
#include "base/log.hpp"
#include "corpus/prepare_tokenizer.hpp"
#include "io/shard.hpp"
#include "recipe/load.hpp"
#include "text/tokenizer.hpp"

namespace polyphase {

namespace {

SampleKind sample_kind_of(recipe::TaskKind task) {
  switch (task) {
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
std::shared_ptr<const std::vector<bool>> word_beginnings(const text::Tokenizer& tokenizer) {
  auto begins = std::make_shared<std::vector<bool>>();
  for (std::int64_t id = 0; id < tokenizer.vocab_size(); ++id)
    begins->push_back(tokenizer.starts_word(id));
  return begins;
}

bool changes_nothing(const recipe::Augmentation& augmentation) {
  return augmentation.mask == 0 && augmentation.remove == 0 && augmentation.swap == 0 &&
         augmentation.span == 0 && !augmentation.synonyms;
}

std::shared_ptr<const Augmentation> augmentation_of(
    const recipe::Recipe& recipe, const recipe::Augmentation& wanted,
    const text::Tokenizer& tokenizer, const std::shared_ptr<const std::vector<bool>>& begins_word) {
  auto result = std::make_shared<Augmentation>(Augmentation{.swap = wanted.swap,
                                                            .remove = wanted.remove,
                                                            .span = wanted.span,
                                                            .mask = wanted.mask,
                                                            .table = nullptr,
                                                            .begins_word = begins_word});
  if (wanted.synonyms) {
    const std::string path = recipe::absolute_path(recipe, wanted.synonyms->file);
    result->table = std::make_shared<SynonymTable>(path, tokenizer);
    result->synonyms = wanted.synonyms->fraction;
    log_info("{}: {} words with synonyms", path, result->table->num_words());
  }
  return result;
}

std::string contents_of(const CorpusIndex& index) {
  std::string digests;
  for (const auto& [part, shards] : index.splits) {
    for (const ShardSummary& shard : shards) {
      for (const auto& [dataset, digest] : shard.digests) digests += digest;
    }
  }
  return digests;
}

// "x, y and 3 more", of what `a` has and `b` has not.
std::string lacking(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  constexpr std::size_t kMostShown = 5;
  std::vector<std::string> missing;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(missing));
  if (missing.empty()) return "none";
  const std::size_t more = missing.size() - std::min(missing.size(), kMostShown);
  missing.resize(missing.size() - more);
  return fmt::format("{}{}", fmt::join(missing, ", "),
                     more > 0 ? fmt::format(" and {} more", more) : "");
}

}  // namespace

std::string digest_of_contents(const CorpusIndex& index) { return digest(contents_of(index)); }

std::uint64_t phase_key(const std::string& phase_name) {
  return std::stoull(digest(phase_name).substr(0, 16), nullptr, 16);
}

std::optional<SampleKind> sample_kind_of(const std::string& objective) {
  if (objective == "clm") return SampleKind::kCausal;
  if (objective == "prefix_lm") return SampleKind::kPrefix;
  if (objective == "span") return SampleKind::kSpans;
  if (objective == "nsp") return SampleKind::kNextSentence;
  if (objective == "sop") return SampleKind::kSentenceOrder;
  return std::nullopt;
}

std::vector<SampleKind> sample_kinds_of(const recipe::Phase& phase) {
  if (phase.task) return {sample_kind_of(phase.task->kind)};
  std::vector<SampleKind> kinds;
  for (const auto& [objective, weight] : phase.objectives)
    if (const std::optional<SampleKind> kind = sample_kind_of(objective)) kinds.push_back(*kind);
  if (kinds.empty()) kinds.push_back(SampleKind::kPretraining);
  return kinds;
}

BatchSizes batch_sizes_of(const recipe::Phase& phase) {
  BatchSizes sizes = {.sequences = phase.batch.sequences};
  if (!phase.batch.ramp) return sizes;
  sizes.from = phase.batch.ramp->from;
  sizes.every_steps = phase.batch.ramp->every_steps;
  return sizes;
}

PhaseCorpus::PhaseCorpus(const recipe::Recipe& recipe, const recipe::Phase& phase,
                         const std::string& data_dir, CorpusUse use)
    : recipe_(recipe), phase_(phase), data_dir_(data_dir) {
  POLYPHASE_PROMISE(!phase.data.empty(), "phase {} has no corpus", phase.name);
  std::string contents;
  for (const auto& [name, weight] : phase.data) read_index(name, contents);
  train_ = open("train");
  if (train_.size() != names_.size()) {
    for (const std::string& name : names_) open_dataset(data_dir_, name, "train");  // says which
  }
  check_labels();
  const auto& augmentation = phase.sampling.augmentation;
  const bool augments =
      use == CorpusUse::kTraining && augmentation && !changes_nothing(*augmentation);
  if (augments || phase.whole_words) {
    const text::Tokenizer tokenizer =
        text::Tokenizer::load(prepare::tokenizer_path(data_dir).string());
    begins_word_ = word_beginnings(tokenizer);
    if (augments) augmentation_ = augmentation_of(recipe, *augmentation, tokenizer, begins_word_);
  }
  if (augmentation_ && augmentation_->table) contents += augmentation_->table->digest();
  content_digest_ = digest(contents);
}

// Adds the digests of what the corpus holds to `contents`.
void PhaseCorpus::read_index(const std::string& name, std::string& contents) {
  const CorpusIndex index =
      read_corpus_index(std::filesystem::path(data_dir_) / name / "corpus.json");
  if (names_.empty()) tokenizer_digest_ = index.tokenizer_digest;
  if (index.tokenizer_digest != tokenizer_digest_) {
    fail<DataError>("the corpora {} and {} were prepared with different tokenizers; prepare again",
                    names_.front(), name);
  }
  for (const auto& [part, shards] : index.splits) {
    const bool holds_samples =
        std::any_of(shards.begin(), shards.end(),
                    [](const ShardSummary& shard) { return shard.num_documents > 0; });
    if (holds_samples) parts_[part].insert(name);
  }
  if (phase_.data.size() > 1) contents += name;
  contents += contents_of(index);
  corpus_digests_[name] = digest_of_contents(index);
  if (!index.made.is_null())
    made_[name] = std::make_shared<const Lineage>(index.made.get<Lineage>());
  names_.push_back(name);
}

void PhaseCorpus::check_labels() const {
  const std::vector<std::string>& first = train_.front().dataset->label_names();
  for (const CorpusPart& other : train_) {
    const std::vector<std::string>& labels = other.dataset->label_names();
    if (labels == first) continue;
    fail<RecipeError>(
        "phases.{0}.data: the corpora {1} and {2} have different labels, and one head learns one "
        "set; only {1} has: {3}; only {2} has: {4}; give them the same labels, or train on them in "
        "phases of their own",
        phase_.name, names_.front(), other.corpus, lacking(first, labels), lacking(labels, first));
  }
}

std::string PhaseCorpus::name() const { return fmt::format("{}", fmt::join(names_, " + ")); }

PhaseData PhaseCorpus::phase_data() const {
  return {.vocab_size = train()->vocab_size(), .label_names = train()->label_names()};
}

std::vector<CorpusPart> PhaseCorpus::open(const std::string& part) const {
  std::vector<CorpusPart> opened;
  const auto holders = parts_.find(part);
  if (holders == parts_.end()) return opened;
  for (const std::string& name : holders->second)
    opened.push_back({.corpus = name, .dataset = open_dataset(data_dir_, name, part)});
  return opened;
}

std::vector<TrainingSource> PhaseCorpus::training_sources() const {
  const recipe::LengthFilter filter = phase_.sampling.filter.value_or(recipe::LengthFilter());
  std::vector<TrainingSource> sources;
  for (const CorpusPart& part : train_) {
    sources.push_back(
        {.dataset = part.dataset,
         .weight = phase_.data.at(part.corpus),
         .choice = {.max_of_corpus = recipe::find_corpus(recipe_, part.corpus)->max_train_samples,
                    .min_tokens = filter.min_tokens,
                    .max_tokens = filter.max_tokens.value_or(0),
                    .max_of_phase = phase_.max_train_samples}});
  }
  return sources;
}

SampleSettings PhaseCorpus::sample_settings(std::uint64_t phase_key) const {
  SampleSettings settings = {.kinds = sample_kinds_of(phase_),
                             .masked_language_model = phase_.objectives.contains("mlm"),
                             .mask_fraction = phase_.mask_fraction,
                             .span_tokens = phase_.span_tokens,
                             .encoder_decoder = recipe::has_decoder(recipe_.model, phase_),
                             .matches = recipe_.model.matches,
                             .max_tokens = recipe::max_tokens_of(recipe_, phase_),
                             .first_sentinel = static_cast<std::int32_t>(train()->vocab_size()),
                             .num_sentinels = static_cast<std::int32_t>(recipe::kNumSentinels),
                             .augmentation = augmentation_,
                             .seed = recipe_.seed,
                             .phase = phase_key};
  if (phase_.whole_words) settings.begins_word = begins_word_;
  return settings;
}

std::string PhaseCorpus::choice_text(const BatchStream& stream) const {
  if (names_.size() == 1 && !phase_.sampling.filter) return "";
  const std::vector<std::int64_t> quotas = stream.quotas(), counts = stream.num_samples();
  const std::int64_t block = std::accumulate(quotas.begin(), quotas.end(), std::int64_t{0});
  std::vector<std::string> words;
  for (std::size_t i = 0; i < names_.size(); ++i) {
    const std::int64_t whole = train_[i].dataset->num_samples();
    words.push_back(fmt::format("{} of {} samples are of {} ({} of its {})", quotas[i], block,
                                names_[i], counts[i], whole));
  }
  return fmt::format("{}", fmt::join(words, ", "));
}

}  // namespace polyphase
