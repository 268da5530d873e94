// SPDX-License-Identifier: Apache-2.0
#include "corpus/prepare.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"
#include "corpus/index_parts.hpp"
#include "corpus/prepare_plan.hpp"
#include "corpus/prepare_tokenizer.hpp"
#include "corpus/prepare_unit.hpp"
#include "io/file.hpp"
#include "io/shard.hpp"

namespace polyphase {
namespace {

namespace fs = std::filesystem;
using prepare::Plan;
using prepare::Receipt;
using prepare::SourceFile;
using prepare::Unit;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error || !fs::is_directory(path, error)) {
    fail<SystemError>("{}: cannot be made a folder ({}); choose another data folder or its rights",
                      path.string(), error ? error.message() : "something else has this name");
  }
}

// What an earlier run left, or nothing where it does not hold.
std::optional<CorpusIndex> old_index(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) return std::nullopt;
  try {
    return read_corpus_index(path);
  } catch (const DataError&) {
    return std::nullopt;
  }
}

// Removes files of our own naming in `folder` that are not in `kept`.
void remove_others(const fs::path& folder, const std::set<std::string>& kept) {
  std::error_code error;
  std::vector<fs::path> others;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const bool ours = name.starts_with("train-") || name.starts_with("valid-") ||
                      name.starts_with("test-") || name.starts_with(kScratchPrefix);
    if (ours && entry.is_regular_file(error) && !kept.contains(name))
      others.push_back(entry.path());
  }
  for (const fs::path& path : others) fs::remove(path, error);
}

}  // namespace

struct Preparation::State {
  recipe::Recipe recipe;
  PrepareOptions options;
  PrepareSummary summary;
  std::vector<SourceFile> sources;
  Plan plan;
  std::optional<text::Tokenizer> tokenizer;
  std::vector<Unit> units;

  fs::path data_dir() const { return options.data_dir; }
  fs::path scan_folder() const { return data_dir() / ".scan"; }
  fs::path scan_path(std::size_t source) const {
    return scan_folder() / fmt::format("{:06}.json", source);
  }
  const std::string& corpus_of(const Unit& unit) const {
    return recipe.corpora[plan.sources[unit.source].corpus].name;
  }
  fs::path folder_of(const Unit& unit) const { return data_dir() / corpus_of(unit); }
  std::string stem_of(const Unit& unit) const {
    return prepare::shard_stem(unit.part, unit.number);
  }
  std::optional<Receipt> receipt_of(const Unit& unit) const {
    return prepare::read_receipt(folder_of(unit), stem_of(unit), unit.key);
  }

  void scan();
  void read_plan();
  void make_tokenizer();
  void withdraw_stale_indices() const;
  void tokenize();
  void finish();
  CorpusIndex index_of(std::size_t corpus, std::set<std::string>& kept_shards,
                       std::set<std::string>& kept_receipts) const;
  void warn_of_loose_tags() const;
};

void Preparation::State::scan() {
  for (const recipe::Corpus& corpus : recipe.corpora)
    make_folder(data_dir() / corpus.name / "parts");
  make_folder(scan_folder());
  for (std::size_t s = 0; s < sources.size(); ++s) {
    if (static_cast<int>(s % static_cast<std::size_t>(options.num_ranks)) != options.rank) continue;
    const auto scanned = prepare::scan_file(sources[s], options.shard_text_bytes);
    write_file_atomically(scan_path(s), prepare::scan_to_json(scanned));
  }
}

void Preparation::State::read_plan() {
  std::vector<prepare::FileScan> scans;
  for (std::size_t s = 0; s < sources.size(); ++s) {
    const fs::path path = scan_path(s);
    scans.push_back(prepare::scan_from_json(read_file(path), path.string()));
  }
  plan = prepare::make_plan(recipe, sources, std::move(scans));
}

void Preparation::State::make_tokenizer() {
  read_plan();
  if (options.rank != 0) return;
  warn_of_loose_tags();
  const auto start = std::chrono::steady_clock::now();
  bool trained = false;
  tokenizer.emplace(options.takes_tokenizer
                        ? prepare::load_tokenizer(data_dir())
                        : prepare::make_tokenizer(data_dir(), recipe, plan,
                                                  options.max_tokenizer_sentences, trained));
  summary.tokenizer_was_current = !trained;
  if (trained) summary.tokenizer_seconds = seconds_since(start);
  prepare::require_white_space(recipe, *tokenizer);
  units = prepare::units_of(plan, recipe, tokenizer->digest());
  withdraw_stale_indices();
}

void Preparation::State::warn_of_loose_tags() const {
  for (std::size_t s = 0; s < plan.sources.size(); ++s) {
    if (plan.scans[s].num_loose_inside == 0) continue;
    log_warning("{}: {} I- tags continue no tag of their type; they are taken as they are",
                plan.sources[s].path(), plan.scans[s].num_loose_inside);
  }
}

// No shard may change while an index still vouches for it.
void Preparation::State::withdraw_stale_indices() const {
  for (const Unit& unit : units) {
    if (!receipt_of(unit)) remove_file(folder_of(unit) / "corpus.json");
  }
}

void Preparation::State::tokenize() {
  if (!tokenizer) {
    tokenizer.emplace(prepare::load_tokenizer(data_dir()));
    units = prepare::units_of(plan, recipe, tokenizer->digest());
  }
  const auto start = std::chrono::steady_clock::now();
  // Shares follow from the units alone, never from what is done: other ranks leave receipts while
  // this one looks.
  const std::vector<int> ranks = prepare::ranks_of(units, options.num_ranks);
  for (std::size_t u = 0; u < units.size(); ++u) {
    if (ranks[u] != options.rank) continue;
    ++summary.num_units;
    if (receipt_of(units[u])) {
      ++summary.num_units_current;
      continue;
    }
    const Receipt receipt =
        prepare::make_unit(folder_of(units[u]), plan, units[u], corpus_of(units[u]), *tokenizer);
    for (const auto& [part, shard] : receipt.shards) summary.num_tokens_made += shard.num_tokens;
  }
  summary.tokenize_seconds = seconds_since(start);
}

CorpusIndex Preparation::State::index_of(std::size_t corpus, std::set<std::string>& kept_shards,
                                         std::set<std::string>& kept_receipts) const {
  CorpusIndex index;
  index.name = recipe.corpora[corpus].name;
  index.kind = name_of(recipe.corpora[corpus].kind);
  if (recipe.corpora[corpus].kind == CorpusKind::kText) {
    const bool raw = recipe.corpora[corpus].layout == TextLayout::kRaw;
    index.layout = raw ? "raw" : "sentences";
  }
  index.vocab_size = tokenizer->vocab_size();
  index.tokenizer_digest = tokenizer->digest();
  index.label_names = plan.corpora[corpus].labels;
  const auto made = options.made.find(index.name);
  if (made != options.made.end()) index.made = made->second;
  for (const Unit& unit : units) {
    const SourceFile& source = plan.sources[unit.source];
    if (source.corpus != corpus) continue;
    const std::optional<Receipt> receipt = receipt_of(unit);
    if (!receipt) {
      fail<SystemError>("{}: {} was not made; is the data folder the same on every rank?",
                        folder_of(unit).string(), stem_of(unit));
    }
    for (std::size_t f = 0; f < source.paths.size(); ++f) {
      index.source_digests[source.paths[f]] = plan.scans[unit.source].files[f].digest;
    }
    kept_receipts.insert(stem_of(unit) + ".json");
    for (const auto& [part, shard] : receipt->shards) {
      kept_shards.insert(shard.file);
      index.splits[part].push_back(shard);
    }
    if (receipt->skipped.count > 0) prepare::add_to(index.skipped[unit.part], receipt->skipped);
  }
  return index;
}

void Preparation::State::finish() {
  if (options.rank != 0) return;
  summary.vocab_size = tokenizer->vocab_size();
  for (std::size_t c = 0; c < recipe.corpora.size(); ++c) {
    const fs::path folder = data_dir() / recipe.corpora[c].name;
    std::set<std::string> kept_shards, kept_receipts;
    const CorpusIndex index = index_of(c, kept_shards, kept_receipts);
    const std::optional<CorpusIndex> old = old_index(folder / "corpus.json");
    if (!old || *old != index) write_corpus_index(folder / "corpus.json", index);
    prepare::warn_of_skipped(index);
    remove_others(folder, kept_shards);
    remove_others(folder / "parts", kept_receipts);
    for (const char* part : {"train", "valid", "test"}) {
      if (index.splits.contains(part)) summary.parts.push_back(prepare::sum_of(index, part));
    }
  }
  std::error_code ignored;
  fs::remove_all(scan_folder(), ignored);
}

Preparation::Preparation(const recipe::Recipe& recipe, PrepareOptions options)
    : state_(std::make_unique<State>()) {
  POLYPHASE_PROMISE(options.num_ranks > 0 && options.rank >= 0 &&
                        options.rank < options.num_ranks && options.shard_text_bytes > 0,
                    "rank {} of {}, shards of {} bytes", options.rank, options.num_ranks,
                    options.shard_text_bytes);
  state_->recipe = recipe;
  state_->options = std::move(options);
  state_->sources = prepare::source_files(recipe);
}

Preparation::~Preparation() = default;

void Preparation::run_stage(PrepareStage stage) {
  switch (stage) {
    case PrepareStage::kScan:
      return state_->scan();
    case PrepareStage::kTokenizer:
      return state_->make_tokenizer();
    case PrepareStage::kTokenize:
      return state_->tokenize();
    case PrepareStage::kFinish:
      return state_->finish();
  }
}

const PrepareSummary& Preparation::summary() const { return state_->summary; }

PrepareSummary prepare_alone(const recipe::Recipe& recipe, PrepareOptions options) {
  Preparation preparation(recipe, std::move(options));
  for (const PrepareStage stage : kPrepareStages) preparation.run_stage(stage);
  return preparation.summary();
}

}  // namespace polyphase
