// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/readers.hpp"

namespace polyphase::text {
float number_of(std::string_view text, const std::string& place) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  const auto value = static_cast<float>(number);
  if (error != std::errc() || stop != end || !std::isfinite(value)) {
    fail<BadLine>("{}: \"{}\" is not a number; write one such as 3.5", place, text);
  }
  return value;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::vector<std::string_view> split(std::string_view line, char separator) {
  std::vector<std::string_view> columns;
  std::size_t start = 0;
  while (true) {
    const std::size_t end = line.find(separator, start);
    columns.push_back(line.substr(start, end == line.npos ? line.npos : end - start));
    if (end == line.npos) return columns;
    start = end + 1;
  }
}

void set_label(CorpusKind kind, std::string_view label, const std::string& place,
               SourceSample& sample) {
  label = trimmed(label);
  if (kind == CorpusKind::kMultiLabel) {
    for (const std::string_view each : split(label, ',')) {
      const std::string name(trimmed(each));
      const bool known =
          std::find(sample.labels.begin(), sample.labels.end(), name) != sample.labels.end();
      if (!name.empty() && !known) sample.labels.push_back(name);
    }
    return;
  }
  if (label.empty()) fail<BadLine>("{}: no label in its column; write one", place);
  if (kind == CorpusKind::kRegression) {
    sample.value = number_of(label, place);
  } else {
    sample.labels.assign(1, std::string(label));
  }
}

std::int64_t count_loose_inside(const std::vector<std::string>& tags) {
  std::int64_t count = 0;
  std::string open;  // type that an I- tag may continue
  for (const std::string& tag : tags) {
    const bool inside = tag.starts_with("I-");
    const std::string type = inside || tag.starts_with("B-") ? tag.substr(2) : "";
    if (inside && type != open) ++count;
    open = type;
  }
  return count;
}

}  // namespace polyphase::text
