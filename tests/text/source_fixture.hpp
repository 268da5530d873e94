// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "tests/text/text_file.hpp"
#include "text/source.hpp"

namespace polyphase::text {

using Strings = std::vector<std::string>;

inline SourceSettings settings_of(CorpusKind kind, CorpusFormat format) {
  SourceSettings settings;
  settings.kind = kind;
  settings.format = format;
  return settings;
}

inline std::unique_ptr<SourceReader> open_file(const SourceSettings& settings,
                                               const std::string& path,
                                               BadLineList* bad_lines = nullptr) {
  return open_source(settings, {{{path}}, {}, {}, bad_lines});
}

// All samples of a text, which is written to a file "t".
inline std::vector<SourceSample> samples_of(const SourceSettings& settings, std::string_view text,
                                            BadLineList* bad_lines = nullptr) {
  const TestFolder folder;
  const auto reader = open_file(settings, folder.write("t", text), bad_lines);
  std::vector<SourceSample> samples;
  for (SourceSample sample; reader->next(sample);) samples.push_back(sample);
  return samples;
}

// What is wrong with a text, without the folder of its file: "t:2: …".
inline std::string fault_in(const SourceSettings& settings, std::string_view text) {
  const std::string fault = fault_of<DataError>([&] { samples_of(settings, text); });
  const std::size_t at = fault.find("/t:");
  return at == fault.npos ? fault : fault.substr(at + 1);
}

}  // namespace polyphase::text
