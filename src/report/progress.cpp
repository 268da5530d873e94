// SPDX-License-Identifier: Apache-2.0
#include "report/progress.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/clock.hpp"
#include "report/format.hpp"
#include "report/terminal.hpp"

namespace polyphase::report {

namespace {

constexpr double kRedrawSeconds = 0.2;
constexpr double kLineSeconds = 5.0;
constexpr double kLineFraction = 0.05;
constexpr int kBarColumns = 24;

// Eighths of a cell make the bar move with every step of a long phase.
std::string bar_text(double fraction, int columns) {
  static const char* const kEighths[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int eighths = static_cast<int>(std::lround(std::clamp(fraction, 0.0, 1.0) * columns * 8));
  std::string bar;
  for (int i = 0; i < eighths / 8; ++i) bar += "█";
  if (eighths / 8 < columns) bar += kEighths[eighths % 8];
  for (int i = eighths / 8 + 1; i < columns; ++i) bar += " ";
  return "▕" + bar + "▏";
}

}  // namespace

Progress::Progress(std::string phase, std::int64_t first_step, std::int64_t total_steps,
                   ProgressOutput output)
    : phase_(std::move(phase)),
      first_step_(first_step),
      total_steps_(total_steps),
      output_(std::move(output)),
      shown_step_(first_step) {
  if (!output_.clock_seconds) output_.clock_seconds = now_seconds;
  terminal_ =
      output_.terminal ? *output_.terminal : terminal_columns(fileno(output_.stream)).has_value();
  state_.step = first_step;
  started_seconds_ = shown_seconds_ = output_.clock_seconds();
}

Progress::~Progress() { finish(); }

double Progress::seconds_left() const {
  const auto done = static_cast<double>(state_.step - first_step_);
  const auto left = static_cast<double>(total_steps_ - state_.step);
  if (done <= 0) return std::numeric_limits<double>::quiet_NaN();
  return std::max(0.0, left) * (output_.clock_seconds() - started_seconds_) / done;
}

std::string Progress::line(int columns, bool bar) const {
  const double fraction =
      total_steps_ > 0 ? static_cast<double>(state_.step) / static_cast<double>(total_steps_) : 0;
  std::string facts = fmt::format("step {}/{}", state_.step, total_steps_);
  if (state_.step > first_step_) {
    if (state_.loss) facts += fmt::format("  loss {:.4f}", *state_.loss);
    facts += fmt::format("  {} tokens/s  {} left", quantity_text(state_.tokens_per_second),
                         duration_text(seconds_left()));
  }
  std::string text = phase_ + "  ";
  const auto needed = static_cast<int>(width_of(text) + width_of(facts)) + kBarColumns + 10;
  if (bar && needed <= columns) text += bar_text(fraction, kBarColumns);
  text += fmt::format("{:4.0f} %  ", std::floor(100 * std::clamp(fraction, 0.0, 1.0)));
  return cut_to(text + facts, static_cast<std::size_t>(std::max(columns, 1)));
}

bool Progress::due() const {
  const double waited = output_.clock_seconds() - shown_seconds_;
  if (terminal_) return waited >= kRedrawSeconds || !drawn_;
  const auto steps = static_cast<double>(state_.step - shown_step_);
  // Whichever comes later: a log of an hour has twenty lines, not seven hundred, and one of a
  // minute has few.
  return waited >= kLineSeconds && steps >= kLineFraction * static_cast<double>(total_steps_);
}

void Progress::draw(bool last) {
  shown_seconds_ = output_.clock_seconds();
  shown_step_ = state_.step;
  if (terminal_) {
    const int columns = output_.columns
                            ? *output_.columns
                            : terminal_columns(fileno(output_.stream)).value_or(kDefaultColumns);
    fmt::print(output_.stream, "\r\x1b[K{}", line(columns - 1, true));
    if (last) fmt::print(output_.stream, "\n");
    drawn_ = !last;
  } else {
    fmt::print(output_.stream, "{}\n", line(std::numeric_limits<int>::max(), false));
  }
  std::fflush(output_.stream);
}

void Progress::update(const ProgressUpdate& update) {
  if (finished_) return;
  state_ = update;
  if (due()) draw(false);
}

void Progress::note(const std::string& line) {
  if (drawn_) fmt::print(output_.stream, "\r\x1b[K");
  fmt::print(output_.stream, "{}\n", line);
  const bool redraw = std::exchange(drawn_, false) && !finished_;
  if (redraw) draw(false);
  std::fflush(output_.stream);
}

void Progress::finish() {
  if (finished_) return;
  // A phase that had no step to do says nothing.
  if (drawn_ || state_.step != shown_step_) draw(true);
  finished_ = true;
}

}  // namespace polyphase::report
