// SPDX-License-Identifier: Apache-2.0
#include "text/csv.hpp"

#include "base/error.hpp"

namespace polyphase::text {
namespace {

// A row that may be open still: lines are fed until a quoted field has closed.
class Row {
 public:
  Row(std::vector<std::string>& fields, std::string place)
      : fields_(fields), place_(std::move(place)) {
    fields_.assign(1, "");
  }

  bool is_open() const { return state_ == State::kQuoted; }

  void feed(std::string_view line) {
    for (const char c : line) feed(c);
  }

  void add_line_end(std::string_view end) { fields_.back() += end; }

 private:
  enum class State { kStart, kPlain, kQuoted, kQuoteInQuoted };

  void feed(char c) {
    switch (state_) {
      case State::kQuoted:
        if (c == '"') {
          state_ = State::kQuoteInQuoted;
        } else {
          fields_.back() += c;
        }
        return;
      case State::kQuoteInQuoted:
        if (c == '"') {
          fields_.back() += c;
          state_ = State::kQuoted;
        } else if (c == ',') {
          begin_field();
        } else {
          fail<BadLine>("{}: field {} goes on behind its closing quote; write quotes inside twice",
                        place_, fields_.size());
        }
        return;
      case State::kStart:
      case State::kPlain:
        if (c == ',') return begin_field();
        if (c == '"' && state_ == State::kPlain) {
          fail<BadLine>("{}: a quote in field {}, which has none around it; quote the whole field",
                        place_, fields_.size());
        }
        state_ = c == '"' ? State::kQuoted : State::kPlain;
        if (c != '"') fields_.back() += c;
        return;
    }
  }

  void begin_field() {
    fields_.emplace_back();
    state_ = State::kStart;
  }

  std::vector<std::string>& fields_;
  std::string place_;
  State state_ = State::kStart;
};

}  // namespace

bool next_csv_row(LineReader& lines, std::vector<std::string>& row, std::int64_t& first_line) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  const bool first_of_file = lines.offset() == 0;
  std::string_view line;
  if (!lines.next_whole(line)) return false;
  if (first_of_file && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
  first_line = lines.line_number();
  Row open(row, lines.place());
  std::size_t num_bytes = 0;
  while (true) {
    const std::size_t end_bytes = line.ends_with("\r\n") ? 2 : line.ends_with('\n') ? 1 : 0;
    num_bytes += line.size();
    if (num_bytes > static_cast<std::size_t>(kMaxLineBytes)) {
      fail<BadLine>("{}:{}: a row of more than {} bytes; is a quote missing?", lines.path(),
                    first_line, kMaxLineBytes);
    }
    open.feed(line.substr(0, line.size() - end_bytes));
    if (!open.is_open()) return true;
    open.add_line_end(line.substr(line.size() - end_bytes));
    if (!lines.next_whole(line)) {
      fail<BadLine>("{}:{}: a quote that is never closed", lines.path(), first_line);
    }
  }
}

}  // namespace polyphase::text
