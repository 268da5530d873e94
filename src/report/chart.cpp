// SPDX-License-Identifier: Apache-2.0
#include "report/chart.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "report/format.hpp"

namespace polyphase::report {

namespace {

constexpr double kLeft = 46, kRight = 12, kTop = 10, kBandTop = 26, kBottom = 34;
constexpr double kCharacterPixels = 6.2;  // of the 11-pixel label font, on average
constexpr std::size_t kHoverPoints = 40;

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void include(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
};

// Where values land on the picture.
struct Frame {
  double left, right, top, bottom;
  Range x, y;

  double at_x(double value) const {
    return left + (value - x.low) / (x.high - x.low) * (right - left);
  }
  double at_y(double value) const {
    return bottom - (value - y.low) / (y.high - y.low) * (bottom - top);
  }
};

Frame frame_of(const Chart& chart) {
  Frame frame{kLeft,
              chart.width - kRight,
              chart.bands.empty() ? kTop : kBandTop,
              chart.height - kBottom,
              {},
              {}};
  for (const Line& line : chart.lines) {
    for (const Point& point : line.points) {
      frame.x.include(point.x);
      // The raw curve's outliers are cut off rather than flattening what matters.
      if (line.style != LineStyle::kFaint) frame.y.include(point.y);
    }
  }
  if (frame.y.empty()) return frame;
  frame.x.low = 0;
  frame.x.high = chart.x_high > 0 ? chart.x_high : std::max(frame.x.high, 1.0);
  if (chart.from_zero || (frame.y.low > 0 && frame.y.low < 0.4 * frame.y.high))
    frame.y.low = std::min(0.0, frame.y.low);
  if (frame.y.high - frame.y.low <= 1e-12 * std::abs(frame.y.high)) {
    const double half = frame.y.high == 0 ? 0.5 : 0.1 * std::abs(frame.y.high);
    frame.y = {frame.y.low - half, frame.y.high + half};
  }
  const std::vector<double> ticks = axis_ticks(frame.y.low, frame.y.high, 4);
  frame.y.include(ticks.front());
  frame.y.include(ticks.back());
  return frame;
}

// As short as a round number can be: 0.00075 → "7.5e-4", 1500 → "1.5k".
std::string tick_text(double value) {
  const double size = std::abs(value);
  if (size < 1e-15) return "0";
  if (size >= 1e6) return fmt::format("{:.4g}M", value / 1e6);
  if (size >= 1e3) return fmt::format("{:.4g}k", value / 1e3);
  if (size >= 0.01) return fmt::format("{:.4g}", value);
  const double exponent = std::floor(std::log10(size) + 1e-9);
  return fmt::format("{:.3g}e{:.0f}", value / std::pow(10.0, exponent), exponent);
}

std::string axes_svg(const Chart& chart, const Frame& frame) {
  std::string svg;
  for (const double tick : axis_ticks(frame.y.low, frame.y.high, 4)) {
    const double y = frame.at_y(tick);
    if (y < frame.top - 0.5 || y > frame.bottom + 0.5) continue;
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n",
        frame.left, y, frame.right, y);
    svg += fmt::format(
        "<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
        frame.left - 7, y + 3.8, tick_text(tick));
  }
  const int wanted = std::clamp(static_cast<int>((frame.right - frame.left) / 72), 3, 12);
  for (const double tick : axis_ticks(frame.x.low, frame.x.high, wanted)) {
    const double x = frame.at_x(tick);
    if (x > frame.right + 0.5) continue;
    const char* const anchor = x > frame.right - 14 ? "end" : "middle";
    svg +=
        fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n",
                    x, frame.bottom + 16, anchor, tick_text(tick));
  }
  svg += fmt::format(
      "<line class=\"axis\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n",
      frame.left, frame.bottom, frame.right, frame.bottom);
  svg += fmt::format(
      "<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
      (frame.left + frame.right) / 2, chart.height - 3, escape_html(chart.x_title));
  return svg;
}

std::string bands_svg(const Chart& chart, const Frame& frame) {
  std::string svg;
  for (std::size_t b = 0; b < chart.bands.size(); ++b) {
    const Band& band = chart.bands[b];
    const double from = frame.at_x(band.from), width = std::max(0.0, frame.at_x(band.to) - from);
    const auto room = static_cast<std::size_t>(std::max(0.0, width - 6) / kCharacterPixels);
    std::string label = band.label;
    if (width_of(label) > room) label = room < 3 ? "" : cut_to(label, room - 1) + "…";
    svg += fmt::format(
        "<g><title>{}</title><rect class=\"band{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" "
        "height=\"{:.1f}\"/>"
        "<text class=\"label\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text></g>\n",
        escape_html(band.label), b % 2, from, 4.0, width, frame.bottom - 4, from + 4, 17.0,
        escape_html(label));
  }
  return svg;
}

// A path that is lifted over every gap.
std::string path_data(const Points& points, const Frame& frame) {
  std::string data;
  bool drawing = false;
  for (const Point& point : points) {
    if (!std::isfinite(point.y) || !std::isfinite(point.x)) {
      drawing = false;
      continue;
    }
    data += fmt::format("{}{:.1f} {:.1f}", drawing ? "L" : "M", frame.at_x(point.x),
                        frame.at_y(point.y));
    drawing = true;
  }
  return data;
}

std::string dots_svg(const Line& line, const Frame& frame, const std::string& shape,
                     std::size_t every, const std::string& x_title) {
  std::string svg;
  for (std::size_t i = 0; i < line.points.size(); i += every) {
    const Point& point = line.points[i];
    if (!std::isfinite(point.y)) continue;
    svg += fmt::format(
        "<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"><title>{}: {} at {} "
        "{:.0f}</title></circle>\n",
        shape, frame.at_x(point.x), frame.at_y(point.y), every == 1 ? "3.2" : "7",
        escape_html(line.name), value_text(point.y), escape_html(x_title), point.x);
  }
  return svg;
}

std::string line_svg(const Line& line, const Frame& frame, const std::string& x_title) {
  const std::string data = path_data(line.points, frame);
  if (data.empty()) return "";
  const char* const style = line.style == LineStyle::kFaint   ? "faint"
                            : line.style == LineStyle::kDots  ? "thin"
                            : line.style == LineStyle::kLevel ? "level"
                                                              : "solid";
  std::string svg = fmt::format("<path class=\"{} c{}\" d=\"{}\"/>\n", style, line.colour, data);
  if (line.style == LineStyle::kDots) {
    svg += dots_svg(line, frame, fmt::format("dot c{}", line.colour), 1, x_title);
  }
  if (line.style == LineStyle::kSolid) {
    // Invisible, for the pointer: the value appears where it rests.
    svg += dots_svg(line, frame, "hover", line.points.size() / kHoverPoints + 2, x_title);
  }
  return svg;
}

}  // namespace

std::vector<double> axis_ticks(double low, double high, int wanted) {
  if (!std::isfinite(low) || !std::isfinite(high) || high <= low) return {low};
  const double rough = (high - low) / std::max(1, wanted);
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {5.0, 2.5, 2.0, 1.0}) {
    if (factor * power >= rough * (1 - 1e-9)) step = factor * power;
  }
  std::vector<double> ticks;
  const double first = std::floor(low / step + 1e-9), last = std::ceil(high / step - 1e-9);
  for (double n = first; n <= last; ++n) ticks.push_back(n * step);
  return ticks;
}

std::string chart_svg(const Chart& chart) {
  const Frame frame = frame_of(chart);
  std::string svg =
      fmt::format("<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}\">\n",
                  chart.width, chart.height, escape_html(chart.title));
  if (frame.y.empty()) {
    svg += fmt::format(
        "<text class=\"tick\" x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"middle\">nothing recorded "
        "yet</text>\n",
        chart.width / 2, chart.height / 2);
    return svg + "</svg>\n";
  }
  svg += bands_svg(chart, frame) + axes_svg(chart, frame);
  // A nested picture cuts off what lies outside the axes, without an identifier that must be unique
  // on the page.
  svg += fmt::format(
      "<svg x=\"{0:.1f}\" y=\"{1:.1f}\" width=\"{2:.1f}\" height=\"{3:.1f}\" viewBox=\"{0:.1f} "
      "{1:.1f} {2:.1f} {3:.1f}\">\n",
      frame.left - 4, frame.top - 4, frame.right - frame.left + 8, frame.bottom - frame.top + 8);
  for (const Line& line : chart.lines) svg += line_svg(line, frame, chart.x_title);
  return svg + "</svg>\n</svg>\n";
}

std::string chart_legend(const Chart& chart) {
  std::string items;
  int shown = 0;
  for (const Line& line : chart.lines) {
    const bool visible = std::any_of(line.points.begin(), line.points.end(),
                                     [](const Point& p) { return std::isfinite(p.y); });
    if (!line.in_legend || !visible) continue;
    ++shown;
    items += fmt::format(
        "<span class=\"key\"><svg viewBox=\"0 0 18 8\"><line class=\"{} c{}\" x1=\"0\" y1=\"4\" "
        "x2=\"18\" y2=\"4\"/>",
        line.style == LineStyle::kDots    ? "thin"
        : line.style == LineStyle::kLevel ? "level"
                                          : "solid",
        line.colour);
    if (line.style == LineStyle::kDots)
      items += fmt::format("<circle class=\"dot c{}\" cx=\"9\" cy=\"4\" r=\"3\"/>", line.colour);
    items += fmt::format("</svg>{}</span>", escape_html(line.name));
  }
  return shown < 2 ? "" : "<div class=\"legend\">" + items + "</div>\n";
}

}  // namespace polyphase::report
