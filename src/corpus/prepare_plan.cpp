// SPDX-License-Identifier: Apache-2.0
#include "corpus/prepare_plan.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <utility>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/shard.hpp"

namespace polyphase::prepare {
namespace {

// Raised when the same sources and settings would give other shards.
constexpr int kPreparationVersion = 2;

std::vector<std::string> training_labels(const Plan& plan, std::size_t corpus) {
  std::set<std::string> labels;
  for (std::size_t s = 0; s < plan.sources.size(); ++s) {
    if (plan.sources[s].corpus != corpus || plan.sources[s].part != "train") continue;
    for (const auto& [label, line] : plan.scans[s].labels) labels.insert(label);
  }
  return {labels.begin(), labels.end()};
}

void require_known_labels(const Plan& plan, std::size_t corpus) {
  const std::vector<std::string>& known = plan.corpora[corpus].labels;
  for (std::size_t s = 0; s < plan.sources.size(); ++s) {
    const SourceFile& source = plan.sources[s];
    if (source.corpus != corpus || source.bad_lines == BadLines::kSkip) continue;
    const std::string* unknown = nullptr;  // the one that comes first in the file
    std::int64_t first_line = 0;
    for (const auto& [label, line] : plan.scans[s].labels) {
      if (std::binary_search(known.begin(), known.end(), label)) continue;
      if (unknown == nullptr || line < first_line) {
        unknown = &label;
        first_line = line;
      }
    }
    if (unknown == nullptr) continue;
    const std::string near = nearest(*unknown, known);
    fail<DataError>("{}:{}: label \"{}\" is not among the {} of the training part{}", source.path(),
                    first_line, *unknown, known.size(),
                    near.empty() ? "; correct it or add training samples"
                                 : fmt::format("; did you mean \"{}\"?", near));
  }
}

// The choice must leave a document on either side, however small the fraction and the text.
std::uint64_t validation_bound(const Plan& plan, const recipe::Corpus& corpus, std::size_t index) {
  if (corpus.valid_fraction < 0 || !(corpus.valid_fraction < 1)) {
    fail<RecipeError>("corpora.{}.valid_fraction: {} is not in [0, 1)", corpus.name,
                      corpus.valid_fraction);
  }
  const bool raw = corpus.layout == TextLayout::kRaw;  // split by bytes (SourceFile::valid_tail)
  if (raw || !corpus.valid.empty() || corpus.valid_fraction == 0) return 0;
  std::uint64_t min_hash = ~std::uint64_t{0}, max_hash = 0;
  for (std::size_t s = 0; s < plan.sources.size(); ++s) {
    if (plan.sources[s].corpus != index || plan.sources[s].part != "train") continue;
    min_hash = std::min(min_hash, plan.scans[s].min_hash);
    max_hash = std::max(max_hash, plan.scans[s].max_hash);
  }
  const auto wanted = static_cast<std::uint64_t>(std::ldexp(corpus.valid_fraction, 64));
  if (min_hash == max_hash) {
    fail<DataError>(
        "corpora.{}: one document cannot be split into training and validation; put blank lines "
        "between documents, give valid files, or set valid_fraction to 0",
        corpus.name);
  }
  return std::min(std::max(wanted, min_hash + 1), max_hash);
}

std::string unit_key(const Plan& plan, const recipe::Corpus& corpus, const Unit& unit,
                     const std::string& tokenizer_digest) {
  const SourceFile& source = plan.sources[unit.source];
  const FileScan& scan = plan.scans[unit.source];
  const CorpusPlan& made = plan.corpora[source.corpus];
  nlohmann::json texts = nlohmann::json::array();
  for (std::size_t f = 0; f < unit.lines.size(); ++f) {
    texts.push_back({scan.files[f].digest, unit.lines[f].begin, unit.lines[f].end});
  }
  const nlohmann::json all = {kPreparationVersion,
                              kShardFormatVersion,
                              corpus.name,
                              settings_key(source),
                              unit.part,
                              unit.number,
                              texts,
                              scan.shape.num_columns,
                              scan.shape.num_texts,
                              scan.shape.header,
                              tokenizer_digest,
                              made.labels,
                              made.valid_below};
  return digest(all.dump());
}

void require_folder_name(const std::string& name) {
  if (name.empty() || name.front() == '.' || name.find('/') != name.npos) {
    fail<RecipeError>("corpora: \"{}\" cannot name a folder; use letters, digits, - and _", name);
  }
}

}  // namespace

std::string shard_stem(const std::string& part, std::int64_t number) {
  return fmt::format("{}-{:04}", part, number);
}

Plan make_plan(const recipe::Recipe& recipe, std::vector<SourceFile> sources,
               std::vector<FileScan> scans) {
  Plan plan{std::move(sources), std::move(scans), {}};
  plan.corpora.resize(recipe.corpora.size());
  for (std::size_t c = 0; c < recipe.corpora.size(); ++c) {
    require_folder_name(recipe.corpora[c].name);
    if (recipe.corpora[c].kind == recipe::CorpusKind::kText) {
      plan.corpora[c].valid_below = validation_bound(plan, recipe.corpora[c], c);
    } else if (has_label_names(recipe.corpora[c].kind)) {
      plan.corpora[c].labels = training_labels(plan, c);
      if (plan.corpora[c].labels.empty()) {
        fail<DataError>("corpus {}: no sample of the training part carries a label; give it some",
                        recipe.corpora[c].name);
      }
      require_known_labels(plan, c);
    }
  }
  return plan;
}

std::vector<Unit> units_of(const Plan& plan, const recipe::Recipe& recipe,
                           const std::string& tokenizer_digest) {
  std::vector<Unit> units;
  std::map<std::pair<std::size_t, std::string>, std::int64_t> next_number;
  for (std::size_t s = 0; s < plan.sources.size(); ++s) {
    const SourceFile& source = plan.sources[s];
    for (std::size_t number = 0; number < plan.scans[s].cuts.size(); ++number) {
      Unit unit;
      unit.source = s;
      unit.part = plan.scans[s].cuts[number].part;
      unit.number = next_number[{source.corpus, unit.part}]++;
      unit.lines = parts_of(source, plan.scans[s], number);
      unit.key = unit_key(plan, recipe.corpora[source.corpus], unit, tokenizer_digest);
      units.push_back(std::move(unit));
    }
  }
  return units;
}

std::vector<int> ranks_of(const std::vector<Unit>& units, int num_ranks) {
  const auto num_bytes = [&](std::size_t u) {
    std::int64_t sum = 0;
    for (const text::FilePart& part : units[u].lines) sum += part.end - part.begin;
    return sum;
  };
  std::vector<std::size_t> order(units.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return num_bytes(a) > num_bytes(b); });
  std::set<std::pair<std::int64_t, int>> loads;  // bytes so far, rank
  for (int rank = 0; rank < num_ranks; ++rank) loads.emplace(0, rank);
  std::vector<int> ranks(units.size());
  for (const std::size_t u : order) {
    const auto [load, rank] = *loads.begin();
    ranks[u] = rank;
    loads.erase(loads.begin());
    loads.emplace(load + num_bytes(u), rank);
  }
  return ranks;
}

}  // namespace polyphase::prepare
