// SPDX-License-Identifier: Apache-2.0
#include <charconv>

#include "text/csv.hpp"
#include "text/readers.hpp"

namespace polyphase::text {
namespace {

// Where a row has what a sample needs; -1: nowhere.
struct Places {
  std::vector<int> texts;
  int label = -1, score = -1;
};

class TableReader final : public SourceReader {
 public:
  TableReader(const SourceSettings& settings, SourceInput input)
      : SourceReader(std::move(input)), settings_(settings), lines_(lines_of(input_, 0)) {
    if (settings_.header && input_.parts[0].begin == 0) read_header();
    if (input_.shape.num_columns > 0) find_places();
  }

  std::int64_t end_offset(std::size_t) const override { return lines_.offset(); }
  std::int64_t end_line() const override { return lines_.line_number(); }

 protected:
  bool read(SourceSample& sample) override {
    if (!next_row()) return false;
    sample.line = row_line_;
    accept_columns();
    for (const int column : places_.texts) {
      const std::string_view text = trimmed(row_[static_cast<std::size_t>(column)]);
      if (text.empty()) {
        fail<BadLine>("{}: empty sentence in column {}; write its text or remove the line",
                      place(row_line_), column + 1);
      }
      if (is_text()) {
        add_lines(text, sample);
      } else {
        sample.texts.emplace_back(text);
      }
    }
    if (places_.score >= 0) {
      sample.value =
          number_of(trimmed(row_[static_cast<std::size_t>(places_.score)]), place(row_line_));
    }
    if (places_.label < 0) return true;
    set_label(settings_.kind, row_[static_cast<std::size_t>(places_.label)], place(row_line_),
              sample);
    return true;
  }

 private:
  // A row is a document, whose sentences are the lines of its texts.
  bool is_text() const { return settings_.kind == CorpusKind::kText; }
  bool generates() const { return settings_.kind == CorpusKind::kGeneration; }

  bool next_row() {
    if (settings_.format == CorpusFormat::kCsv) return next_csv_row(lines_, row_, row_line_);
    std::string_view line;
    if (!lines_.next(line)) return false;
    row_line_ = lines_.line_number();
    row_.clear();
    for (const std::string_view column : split(line, '\t')) row_.emplace_back(column);
    return true;
  }

  void read_header() {
    if (!next_row()) fail<DataError>("{}: no header line", place(1));
    input_.shape.header.clear();
    for (const std::string& name : row_) input_.shape.header.emplace_back(trimmed(name));
    input_.shape.num_columns = static_cast<int>(row_.size());
  }

  // The first good row fixes the number of columns.
  void accept_columns() {
    const int found = static_cast<int>(row_.size());
    if (found == 1 && is_blank(row_[0])) {
      fail<BadLine>("{}: empty line; remove it", place(row_line_));
    }
    int& expected = input_.shape.num_columns;
    if (expected == 0 &&
        (names_columns() || is_text() || found == 2 || (found == 3 && !generates()))) {
      expected = found;
      find_places();
    }
    if (found == expected) return;
    const std::string counted =
        expected > 0 ? fmt::format("the file's first line has {}", expected)
                     : std::string(generates() ? "2 are expected" : "2 or 3 are expected");
    const char* tab = settings_.format == CorpusFormat::kCsv ? "," : "<TAB>";
    const std::string remedy = is_text() ? fmt::format("the columns of every row, {} between", tab)
                               : generates()
                                   ? fmt::format("source{}target", tab)
                                   : fmt::format("text{}label or text{}text{}label", tab, tab, tab);
    fail<BadLine>("{}: {} column{}, but {}; write {}", place(row_line_), found,
                  found == 1 ? "" : "s", counted, remedy);
  }

  bool names_columns() const { return settings_.columns != CorpusColumns{}; }

  int header_place(const std::string& name) const {
    const auto& header = input_.shape.header;
    for (std::size_t i = 0; i < header.size(); ++i) {
      if (header[i] == name) return static_cast<int>(i);
    }
    return -1;
  }

  // The column that the recipe names, else the header's `usual` one, else `other`.
  int place_of(const std::string& given, const std::string& usual, int other) const {
    if (given.empty()) {
      const int found = header_place(usual);
      return found >= 0 ? found : other;
    }
    if (const int found = header_place(given); found >= 0) return found;
    int number = 0;
    const char* end = given.data() + given.size();
    const auto [stop, error] = std::from_chars(given.data(), end, number);
    if (error == std::errc() && stop == end && number >= 1 && number <= input_.shape.num_columns) {
      return number - 1;
    }
    const auto& header = input_.shape.header;
    const std::string near = nearest(given, header);
    fail<DataError>("{}: no column \"{}\" among its {}{}", place(1), given,
                    input_.shape.num_columns,
                    !near.empty()    ? fmt::format("; did you mean \"{}\"?", near)
                    : header.empty() ? std::string("; number them from 1")
                                     : fmt::format(": {}", fmt::join(header, ", ")));
  }

  void find_places() {
    const CorpusColumns& columns = settings_.columns;
    const int last = input_.shape.num_columns - 1;
    if (generates()) {
      const bool prompts = header_place("prompt") >= 0;
      places_.texts = {place_of(columns.source, prompts ? "prompt" : "source", 0),
                       place_of(columns.target, prompts ? "answer" : "target", last)};
    } else if (is_text()) {
      find_text_places(last);
    } else {
      const bool by_place = !names_columns() && header_place("text") < 0;
      if (by_place && last != 1 && last != 2) {
        fail<DataError>("{}: {} columns; say under columns which are text and label: {}", place(1),
                        last + 1, fmt::join(input_.shape.header, ", "));
      }
      const int pair = place_of(columns.text_pair, "text_pair", by_place && last == 2 ? 1 : -1);
      places_.texts = {place_of(columns.text, "text", 0)};
      if (pair >= 0) places_.texts.push_back(pair);
      places_.label = place_of(columns.label, "label", last);
    }
    find_score();
  }

  void find_score() {
    const CorpusColumns& columns = settings_.columns;
    if (!settings_.reads_score) return;
    places_.score = place_of(columns.score, "score", -1);
    if (places_.score != places_.label && places_.score != places_.texts.back()) return;
    fail<DataError>(
        "{}: column {} is to be both the score and the {}; name the other one under "
        "columns, too",
        place(1), places_.score + 1, generates() ? "target" : "label");
  }

  void find_text_places(int last) {
    const CorpusColumns& columns = settings_.columns;
    if (columns.text.empty() && header_place("text") < 0 && last > 0) {
      fail<DataError>("{}: {} columns; say under columns which is the text: {}", place(1), last + 1,
                      input_.shape.header.empty()
                          ? "{text: 2}, numbered from 1"
                          : fmt::format("{}", fmt::join(input_.shape.header, ", ")));
    }
    places_.texts = {place_of(columns.text, "text", 0)};
    if (!columns.text_pair.empty())
      places_.texts.push_back(place_of(columns.text_pair, "text_pair", 0));
  }

  SourceSettings settings_;
  LineReader lines_;
  Places places_;
  std::vector<std::string> row_;
  std::int64_t row_line_ = 0;
};

}  // namespace

std::unique_ptr<SourceReader> open_table(const SourceSettings& settings, SourceInput input) {
  return std::make_unique<TableReader>(settings, std::move(input));
}

}  // namespace polyphase::text
