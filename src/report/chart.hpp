// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "report/history.hpp"

namespace polyphase::report {

enum class LineStyle { kFaint, kSolid, kDots, kLevel };  // kLevel: dashed, a mark to compare with

struct Line {
  std::string name;
  Points points;
  int colour = 0;  // class c0 … c5 of the style sheet
  LineStyle style = LineStyle::kSolid;
  bool in_legend = true;
};

// A stretch of the horizontal axis with a label above it, for instance a phase.
struct Band {
  double from = 0, to = 0;
  std::string label;
};

struct Chart {
  std::string title;  // for readers of the page and of screens
  std::string x_title = "step";
  std::vector<Line> lines;
  std::vector<Band> bands;
  double width = 360, height = 220;  // pixels at the page's own size
  double x_high = 0;                 // the axis runs from 0 to this; 0: to the last point
  bool from_zero = false;            // the vertical axis starts at 0
};

// Values at round distances (1, 2, 2.5 or 5 times a power of ten) that cover [low, high], about
// `wanted` of them.
std::vector<double> axis_ticks(double low, double high, int wanted);

// The chart as one <svg> element. Not-a-numbers are gaps; a chart without a finite point says so in
// words.
std::string chart_svg(const Chart& chart);

// The key to the chart's lines, as HTML; empty when one line needs none.
std::string chart_legend(const Chart& chart);

}  // namespace polyphase::report
