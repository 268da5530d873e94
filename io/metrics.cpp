// SPDX-License-Identifier: Apache-2.0
#include "io/metrics.hpp"

#include <cmath>
#include <limits>
#include <string_view>
#include <system_error>

#include "base/error.hpp"
#include "io/file.hpp"
#include "io/json.hpp"

namespace polyphase {
namespace {

// Members that are words, in which "nan" is no number.
bool is_word(const std::string& key) {
  return key == "kind" || key == "split" || key == "what" || key == "detail" || key == "lineage";
}

nlohmann::json with_strings(const nlohmann::json& value) {
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (std::isnan(number)) return "nan";
    if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  }
  if (!value.is_structured()) return value;
  nlohmann::json copy = value;
  for (auto& inner : copy) inner = with_strings(inner);
  return copy;
}

nlohmann::json with_numbers(const nlohmann::json& value) {
  if (value == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (value == "inf") return std::numeric_limits<double>::infinity();
  if (value == "-inf") return -std::numeric_limits<double>::infinity();
  if (!value.is_structured()) return value;
  nlohmann::json copy = value;
  for (auto& [key, inner] : copy.items()) {
    if (!copy.is_object() || !is_word(key)) inner = with_numbers(inner);
  }
  return copy;
}

bool is_record(const nlohmann::json& value) {
  return value.is_object() && value.contains("kind") && value["kind"].is_string() &&
         value.contains("step") && value["step"].is_number_integer();
}

struct Line {
  std::string_view text;  // without its newline
  nlohmann::json record;
};

// The whole lines of a file's text. What follows the last newline was torn by a kill and is left
// out.
std::vector<Line> lines_of(const std::string& text, const std::filesystem::path& path) {
  std::vector<Line> lines;
  std::size_t begin = 0;
  for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    nlohmann::json record = parse_json_or_discard(line);
    if (!is_record(record)) {
      fail<DataError>("{}:{}: not a metrics record; remove this line or restore the file",
                      path.string(), lines.size() + 1);
    }
    lines.push_back({line, with_numbers(record)});
    begin = end + 1;
  }
  return lines;
}

}  // namespace

struct MetricsWriter::State {
  std::filesystem::path path;
  std::unique_ptr<CheckedFile> file;

  void open() { file = std::make_unique<CheckedFile>(CheckedFile::open_append(path)); }
};

MetricsWriter::MetricsWriter(const std::filesystem::path& path)
    : state_(std::make_unique<State>()) {
  state_->path = path;
  state_->open();
  const std::string text = read_file(path);
  const std::size_t last = text.rfind('\n');
  const std::size_t whole = last == std::string::npos ? 0 : last + 1;
  if (whole != text.size()) state_->file->truncate(static_cast<std::int64_t>(whole));
}

MetricsWriter::~MetricsWriter() = default;

void MetricsWriter::append(const nlohmann::json& record) {
  POLYPHASE_PROMISE(is_record(record), "a metrics record without \"kind\" or \"step\"");
  const auto replace = nlohmann::json::error_handler_t::replace;
  state_->file->write_once(with_strings(record).dump(-1, ' ', false, replace) + "\n");
}

void MetricsWriter::truncate_after(std::int64_t step) {
  const std::string text = read_file(state_->path);
  std::string kept;
  for (const Line& line : lines_of(text, state_->path)) {
    if (line.record["step"].get<std::int64_t>() <= step) kept.append(line.text).append("\n");
  }
  write_file_atomically(state_->path, kept);
  state_->open();
}

std::vector<nlohmann::json> read_metrics(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return {};
  const std::string text = read_file(path);
  std::vector<nlohmann::json> records;
  for (Line& line : lines_of(text, path)) records.push_back(std::move(line.record));
  return records;
}

}  // namespace polyphase
