// SPDX-License-Identifier: Apache-2.0
// Scans as JSON text: what one rank found, for all others.
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "corpus/prepare_scan.hpp"
#include "io/json.hpp"

namespace polyphase::prepare {

std::string scan_to_json(const FileScan& scan) {
  nlohmann::json files = nlohmann::json::array();
  for (const auto& file : scan.files) {
    files.push_back({file.digest, file.num_bytes, file.modified_ns});
  }
  nlohmann::json cuts = nlohmann::json::array();
  for (const auto& cut : scan.cuts) cuts.push_back({cut.offsets, cut.line, cut.part});
  const nlohmann::json json = {{"files", files},
                               {"num_documents", scan.num_documents},
                               {"num_sentences", scan.num_sentences},
                               {"num_columns", scan.shape.num_columns},
                               {"num_texts", scan.shape.num_texts},
                               {"header", scan.shape.header},
                               {"num_loose_inside", scan.num_loose_inside},
                               {"min_hash", scan.min_hash},
                               {"max_hash", scan.max_hash},
                               {"cuts", cuts},
                               {"labels", scan.labels}};
  return json.dump();
}

FileScan scan_from_json(const std::string& json_text, const std::string& name) {
  try {
    const auto json = parse_json(json_text);
    FileScan scan;
    for (const auto& file : json.at("files")) {
      scan.files.push_back({file.at(0), file.at(1), file.at(2)});
    }
    json.at("num_documents").get_to(scan.num_documents);
    json.at("num_sentences").get_to(scan.num_sentences);
    json.at("num_columns").get_to(scan.shape.num_columns);
    json.at("num_texts").get_to(scan.shape.num_texts);
    json.at("header").get_to(scan.shape.header);
    json.at("num_loose_inside").get_to(scan.num_loose_inside);
    json.at("min_hash").get_to(scan.min_hash);
    json.at("max_hash").get_to(scan.max_hash);
    for (const auto& cut : json.at("cuts")) scan.cuts.push_back({cut.at(0), cut.at(1), cut.at(2)});
    json.at("labels").get_to(scan.labels);
    return scan;
  } catch (const nlohmann::json::exception& error) {
    fail<DataError>("{}: not a scan of a source file ({}); prepare again", name, error.what());
  }
}

std::string settings_key(const SourceFile& source) {
  const CorpusColumns& columns = source.settings.columns;
  nlohmann::json all = {name_of(source.settings.kind),
                        name_of(source.settings.format),
                        source.is_raw(),
                        source.settings.header,
                        source.bad_lines == BadLines::kSkip,
                        columns.text,
                        columns.text_pair,
                        columns.label,
                        columns.token,
                        columns.tag,
                        columns.source,
                        columns.target};
  if (!columns.score.empty()) all.push_back(columns.score);
  return all.dump();
}

}  // namespace polyphase::prepare
