// SPDX-License-Identifier: Apache-2.0
#include "base/corpus_source.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace polyphase {

const std::vector<CorpusKindRow>& corpus_kinds() {
  using enum CorpusFormat;
  static const std::vector<std::string> labelled = {"text", "text_pair", "label"};
  static const std::vector<std::string> scored = {"text", "text_pair", "label", "score"};
  static const std::vector<CorpusKindRow> rows = {
      {CorpusKind::kText, "text", {kText, kJsonl, kTsv, kCsv, kConllu}, {"text", "text_pair"}},
      {CorpusKind::kClassification, "classification", {kTsv, kCsv, kJsonl}, scored},
      {CorpusKind::kRegression, "regression", {kTsv, kCsv, kJsonl}, labelled},
      {CorpusKind::kMultiLabel, "multi_label", {kTsv, kCsv, kJsonl}, scored},
      {CorpusKind::kTagging, "tagging", {kConll, kConllu, kJsonl}, {"token", "tag"}},
      {CorpusKind::kQuestionAnswering, "question_answering", {kSquad}, {}},
      {CorpusKind::kGeneration,
       "generation",
       {kParallel, kTsv, kCsv, kJsonl},
       {"source", "target", "score"}}};
  return rows;
}

const CorpusKindRow& row_of(CorpusKind kind) {
  const auto& rows = corpus_kinds();
  const auto found =
      std::find_if(rows.begin(), rows.end(), [&](const auto& row) { return row.kind == kind; });
  POLYPHASE_PROMISE(found != rows.end(), "a kind of corpus numbered {}", static_cast<int>(kind));
  return *found;
}

const std::vector<std::pair<std::string, CorpusFormat>>& corpus_formats() {
  using enum CorpusFormat;
  static const std::vector<std::pair<std::string, CorpusFormat>> formats = {
      {"text", kText},   {"tsv", kTsv},       {"csv", kCsv},     {"jsonl", kJsonl},
      {"conll", kConll}, {"conllu", kConllu}, {"squad", kSquad}, {"parallel", kParallel}};
  return formats;
}

const std::string& name_of(CorpusKind kind) { return row_of(kind).name; }

const std::string& name_of(CorpusFormat format) {
  for (const auto& [name, known] : corpus_formats()) {
    if (known == format) return name;
  }
  broken_promise(__FILE__, __LINE__, "an unknown format");
}

std::optional<CorpusKind> kind_named(std::string_view name) {
  for (const CorpusKindRow& row : corpus_kinds()) {
    if (row.name == name) return row.kind;
  }
  return std::nullopt;
}

bool has_format(CorpusKind kind, CorpusFormat format) {
  const auto& formats = row_of(kind).formats;
  return std::find(formats.begin(), formats.end(), format) != formats.end();
}

}  // namespace polyphase
