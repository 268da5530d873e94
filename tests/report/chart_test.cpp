// SPDX-License-Identifier: Apache-2.0
#include "report/chart.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "report/markup.hpp"

namespace polyphase::report {
namespace {

Chart chart_of(Points points) {
  Chart chart;
  chart.title = "loss";
  chart.lines.push_back({"mlm", std::move(points), 0, LineStyle::kSolid, true});
  return chart;
}

TEST(ChartTest, TicksAreRoundAndCoverTheRange) {
  EXPECT_EQ(axis_ticks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(axis_ticks(0.3, 9.7, 4), (std::vector<double>{0, 2.5, 5, 7.5, 10}));
  for (const auto& [low, high] : {std::pair{0.0, 7e-4}, {1e5, 3e6}, {-3.0, 2.0}, {4.43, 4.45}}) {
    const std::vector<double> ticks = axis_ticks(low, high, 4);
    EXPECT_LE(ticks.front(), low + 1e-9 * std::abs(low));
    EXPECT_GE(ticks.back(), high - 1e-9 * std::abs(high));
    EXPECT_GE(ticks.size(), 3U);
    EXPECT_LE(ticks.size(), 8U);
  }
}

TEST(ChartTest, NotANumberLiftsThePenAndNeverReachesThePicture) {
  const std::string svg =
      chart_svg(chart_of({{1, 5}, {2, 4}, {3, NAN}, {4, INFINITY}, {5, 3}, {6, 2}}));
  EXPECT_EQ(markup_fault(svg), "");
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
  const std::size_t path = svg.find(" d=\"");
  ASSERT_NE(path, std::string::npos);
  EXPECT_EQ(count_of(svg.substr(path, svg.find('"', path + 4) - path), "M"), 2);
}

TEST(ChartTest, NothingFiniteIsSaidInWords) {
  for (const Points& points : {Points{}, Points{{1, NAN}, {2, NAN}}}) {
    const std::string svg = chart_svg(chart_of(points));
    EXPECT_EQ(markup_fault(svg), "");
    EXPECT_NE(svg.find("nothing recorded yet"), std::string::npos);
  }
}

TEST(ChartTest, FlatAndSingleCurvesStayInsideTheFrame) {
  for (const double level : {0.0, 2.5, -1e-9, 1e300}) {
    const std::string svg = chart_svg(chart_of({{7, level}}));
    EXPECT_EQ(markup_fault(svg), "");
    EXPECT_EQ(svg.find("nan"), std::string::npos) << level;
    EXPECT_EQ(svg.find("inf"), std::string::npos) << level;
  }
}

TEST(ChartTest, HostileNamesAreEscapedEverywhere) {
  Chart chart = chart_of({{1, 1}, {2, 2}});
  chart.title = chart.x_title = chart.lines[0].name = "\"><script>alert('x')</script>&";
  chart.lines.push_back(chart.lines[0]);
  chart.lines[1].style = LineStyle::kDots;
  chart.bands.push_back({0, 2, chart.title});
  const std::string html = chart_svg(chart) + chart_legend(chart);
  EXPECT_EQ(markup_fault(html), "");
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_GE(count_of(html, "&lt;script&gt;"), 5);
}

TEST(ChartTest, OneLineNeedsNoLegend) {
  Chart chart = chart_of({{1, 1}, {2, 2}});
  EXPECT_EQ(chart_legend(chart), "");
  chart.lines.push_back({"nsp", {{1, 1}}, 1, LineStyle::kSolid, true});
  EXPECT_EQ(count_of(chart_legend(chart), "class=\"key\""), 2);
}

}  // namespace
}  // namespace polyphase::report
