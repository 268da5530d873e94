// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>

namespace polyphase::report {

// What a person wants to know after a step.
struct ProgressUpdate {
  std::int64_t step = 0;         // steps done in this phase
  std::optional<double> loss;    // nats; not-a-number is shown as such; none: nothing is trained
  double tokens_per_second = 0;  // whole job
};

// Where and how progress is shown. The defaults are the program's; tests replace them.
struct ProgressOutput {
  std::FILE* stream = stderr;
  std::optional<bool> terminal;           // empty: ask the stream
  std::optional<int> columns;             // width of the terminal; empty: ask it
  std::function<double()> clock_seconds;  // empty: the steady clock
};

// The progress of one phase, for rank 0 only. On a terminal one line is redrawn at most five times
// a second; elsewhere plain lines appear every five seconds, or every 5 % of the steps where those
// take longer.
class Progress {
 public:
  // `first_step` is 0, or the step that a resumed phase goes on from.
  Progress(std::string phase, std::int64_t first_step, std::int64_t total_steps,
           ProgressOutput output = {});
  ~Progress();  // finishes
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(const ProgressUpdate& update);
  // Prints a whole line (an evaluation, a checkpoint) without tearing the bar.
  void note(const std::string& line);
  // Draws the last state and ends the line; nothing more is printed afterwards.
  void finish();

  // The text of one state without colours or line ends, at most `columns` wide; a bar is drawn when
  // `bar` is set.
  std::string line(int columns, bool bar) const;

 private:
  bool due() const;
  void draw(bool last);
  double seconds_left() const;

  std::string phase_;
  std::int64_t first_step_ = 0;
  std::int64_t total_steps_ = 0;
  ProgressOutput output_;
  bool terminal_ = false;
  bool drawn_ = false;  // a bar stands on the current line
  bool finished_ = false;
  ProgressUpdate state_;
  double started_seconds_ = 0;
  double shown_seconds_ = 0;
  std::int64_t shown_step_ = -1;
};

}  // namespace polyphase::report
