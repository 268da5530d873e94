// SPDX-License-Identifier: Apache-2.0
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "report/format.hpp"
#include "report/sections.hpp"

namespace polyphase::report {
namespace {

constexpr std::size_t kMostRows = 60;
constexpr std::size_t kMostMarks = 300;  // saves in a row

// One start with its place in time.
struct Row {
  const Start* start;
  double begin = 0, seconds = 0;
  bool runs = false;
};

std::vector<Row> rows_of(const RunRecord& record, std::int64_t now) {
  std::vector<Row> rows;
  for (std::size_t i = 0; i < record.starts.size(); ++i) {
    const Start& start = record.starts[i];
    std::error_code ignored;
    rows.push_back({.start = &start,
                    .begin = static_cast<double>(start.begun),
                    .seconds = seconds_of(record.starts, i, record.folder, now),
                    .runs = start.ended == 0 && i + 1 == record.starts.size() &&
                            std::filesystem::exists(record.folder / "run.lock", ignored)});
  }
  return rows;
}

// How a start ended: a state of the style sheet, and words.
std::pair<std::string, std::string> end_of(const Row& row) {
  if (row.runs) return {"running", "runs"};
  const std::optional<int>& code = row.start->exit_code;
  const std::string& reason = row.start->reason;
  const std::string why = reason.empty() ? "" : ": " + reason;
  if (code == 0) return {"done", "done"};
  if (code == 80) return {"done", "done, the target is not met" + why};
  if (code == 75) return {"interrupted", "saved and stopped" + why};
  if (code) return {"failed", fmt::format("exit code {}{}", *code, why)};
  return {"failed", row.start->ended == 0 ? "ended without a word" : "failed, or was killed" + why};
}

std::vector<Save> saves_within(const RunRecord& record, const Row& row) {
  std::vector<Save> saves;
  for (const History& history : record.histories) {
    for (const Save& save : history.saves) {
      if (save.time >= row.begin && save.time <= row.begin + row.seconds + 1) saves.push_back(save);
    }
  }
  return saves;
}

// 0 to 100 along the whole time.
double place(double time, double begin, double end) {
  return std::clamp(100 * (time - begin) / std::max(1.0, end - begin), 0.0, 100.0);
}

std::string row_html(const RunRecord& record, const Row& row, double begin, double end) {
  const auto [state, words] = end_of(row);
  const double left = place(row.begin, begin, end);
  std::string track = fmt::format("<i class=\"{}\" style=\"left:{:.2f}%;width:{:.2f}%\"></i>",
                                  state, left, place(row.begin + row.seconds, begin, end) - left);
  const std::vector<Save> saves = saves_within(record, row);
  const std::size_t stride = saves.size() / kMostMarks + 1;
  for (std::size_t i = 0; i < saves.size(); i += stride)
    track += fmt::format("<u style=\"left:{:.2f}%\"></u>", place(saves[i].time, begin, end));
  const std::string job =
      row.start->job.empty()
          ? ""
          : fmt::format(
                "job {}{} · ", row.start->job,
                row.start->restart > 0 ? fmt::format(", restart {}", row.start->restart) : "");
  return fmt::format(
      "<div class=\"job\"><div>{:%Y-%m-%d %H:%M:%S}<small>{}{}{}</small></div>"
      "<div class=\"track\">{}</div><b>{}</b></div>\n",
      fmt::gmtime(static_cast<std::time_t>(row.begin)), escape_html(job), escape_html(words),
      saves.empty() ? "" : fmt::format(" · {} save{}", saves.size(), saves.size() == 1 ? "" : "s"),
      track, duration_text(row.seconds));
}

std::string stall_text(const RunRecord& record) {
  double stalled = 0, steps = 0;
  std::size_t count = 0;
  for (const History& history : record.histories) {
    count += history.saves.size();
    for (const Save& save : history.saves) stalled += save.stall_seconds;
    for (const Point& step : history.step_seconds) steps += step.y;
  }
  if (count == 0 || steps <= 0) return "";
  return fmt::format(" {} checkpoint{} stalled training for {:.2f} s, {:.2f} % of its steps' time.",
                     count, count == 1 ? "" : "s", stalled, 100 * stalled / steps);
}

}  // namespace

std::string jobs_section(const RunRecord& record) {
  const std::int64_t now = std::time(nullptr);
  const std::vector<Row> rows = rows_of(record, now);
  const auto goodput = goodput_of(record.starts, record.histories, record.folder, now);
  if (rows.empty() || !goodput) return "";
  const std::size_t first = rows.size() > kMostRows ? rows.size() - kMostRows : 0;
  const double begin = rows[first].begin, end = rows.back().begin + rows.back().seconds;
  std::string html = fmt::format("<h2>Jobs</h2>\n<div class=\"card\">\n<p>{}.{}</p>\n",
                                 escape_html(goodput->text()), stall_text(record));
  if (first > 0)
    html +=
        fmt::format("<p class=\"soft\">The last {} of {} starts.</p>\n", kMostRows, rows.size());
  for (std::size_t i = first; i < rows.size(); ++i) html += row_html(record, rows[i], begin, end);
  return html + "<p class=\"soft\">Times are UTC. A light mark is a checkpoint.</p>\n</div>\n";
}

}  // namespace polyphase::report
