// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/chart.hpp"
#include "report/format.hpp"
#include "report/lineage_text.hpp"
#include "report/plateau.hpp"
#include "report/sections.hpp"

namespace polyphase::report {

namespace {

constexpr std::size_t kRawPoints = 400;       // of a faint curve
constexpr std::size_t kSmoothPoints = 240;    // of a smoothed one
constexpr double kSmoothFraction = 1.0 / 40;  // of a phase's steps

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

double window_of(const Points& points) {
  return kSmoothFraction * static_cast<double>(points.size());
}

Points shifted(Points points, double by) {
  for (Point& point : points) point.x += by;
  return points;
}

// The training loss of an objective, raw and smoothed.
void add_training(Chart& chart, const std::string& name, const Points& points, int colour) {
  chart.lines.push_back({name, thinned(points, kRawPoints), colour, LineStyle::kFaint, false});
  chart.lines.push_back({name, thinned(smoothed(points, window_of(points)), kSmoothPoints), colour,
                         LineStyle::kSolid, true});
}

// The objective that a loss such as "valid.mlm_loss" or "valid.loss.mlm" belongs to; the weighted
// sum when it names none.
std::string objective_of(const std::string& metric, const History& history) {
  for (const auto& [name, points] : history.losses) {
    if (name != "loss" && metric.find(name) != std::string::npos) return name;
  }
  return "loss";
}

bool is_loss(const std::string& metric) { return metric.find("loss") != std::string::npos; }

Chart loss_chart(const PhaseState& phase, const History& history) {
  Chart chart{.title = "Loss of " + phase.name, .x_title = "step", .lines = {}, .bands = {}};
  chart.x_high = static_cast<double>(history.last_step);
  // One objective is its own sum: a second curve on top of the first would say nothing.
  const bool single = history.losses.size() <= 2;
  const int sum_colour = single ? colour_of(phase.task) : 5;
  for (const auto& [name, points] : history.losses) {
    if (single && name != "loss" && history.losses.count("loss") != 0) continue;
    const std::string label = name == "loss" ? (single ? "training" : "sum") : name;
    add_training(chart, label, points, name == "loss" ? sum_colour : colour_of(name));
  }
  for (const auto& [name, points] : history.evaluations) {
    if (!is_loss(name)) continue;
    const std::string objective = single ? "loss" : objective_of(name, history);
    const int colour = objective == "loss" ? sum_colour : colour_of(objective);
    chart.lines.push_back({name, points, colour, LineStyle::kDots, true});
  }
  if (const std::optional<Plateau> plateau = plateau_of(history)) {
    chart.lines.push_back({fmt::format("unigram plateau, {:.2f}", plateau->nats),
                           {{0, plateau->nats}, {chart.x_high, plateau->nats}},
                           colour_of("mlm"),
                           LineStyle::kLevel,
                           true});
  }
  return chart;
}

Chart metric_chart(const PhaseState& phase, const History& history) {
  Chart chart{.title = "Metrics of " + phase.name,
              .x_title = "step",
              .lines = {},
              .bands = {},
              .width = 360,
              .height = 170};
  chart.x_high = static_cast<double>(history.last_step);
  int colour = 0;
  for (const auto& [name, points] : history.evaluations) {
    const bool share = std::all_of(points.begin(), points.end(),
                                   [](const Point& p) { return !(p.y < 0 || p.y > 1); });
    // Accuracies and F1 share an axis; a perplexity beside them would press them flat.
    if (is_loss(name) || !share || ends_with(name, "_seconds")) continue;
    chart.lines.push_back({name, points, colour++ % 6, LineStyle::kDots, true});
  }
  return chart;
}

std::string names_html(const char* title, const std::vector<std::string>& names) {
  if (names.empty()) return "";
  std::string html = fmt::format("<h4>{}</h4><ul>", title);
  for (const std::string& name : names)
    html += fmt::format("<li><code>{}</code></li>", escape_html(name));
  return html + "</ul>";
}

std::string handover_html(const Handover& handover) {
  if (handover.carried.empty() && handover.fresh.empty() && handover.left.empty()) return "";
  const std::string copied =
      handover.copied.empty() ? "" : fmt::format("{} copied, ", handover.copied.size());
  return fmt::format(
      "<details><summary>hand-over: {} carried, {}{} new, {} left</summary>{}{}{}{}{}</details>\n",
      handover.carried.size(), copied, handover.fresh.size(), handover.left.size(),
      names_html("carried", handover.carried), names_html("copied", handover.copied),
      names_html("new", handover.fresh), names_html("left", handover.left),
      names_html("optimizer state", handover.state));
}

std::string lineage_html(const std::optional<Lineage>& lineage) {
  if (!lineage) return "";
  return fmt::format(
      "<details><summary>what it was made of</summary><pre><code>{}</code></pre></details>\n",
      escape_html(fmt::format("{}", fmt::join(lineage_lines(*lineage), "\n"))));
}

std::string events_html(const std::vector<Event>& events) {
  if (events.empty()) return "";
  std::string html = fmt::format("<details><summary>{} event{}</summary>", events.size(),
                                 events.size() == 1 ? "" : "s");
  for (const Event& event : events) {
    html += fmt::format(
        "<div class=\"event\"><span class=\"soft\">step {}</span><span><b>{}</b> {}</span></div>",
        event.step, escape_html(event.what), escape_html(event.detail));
  }
  return html + "</details>\n";
}

std::string notices_html(const PhaseState& phase, const History& history) {
  std::string html;
  const auto notice = [&](bool bad, const std::string& text) {
    html += fmt::format("<p class=\"notice{}\">{}</p>\n", bad ? " bad" : "", escape_html(text));
  };
  if (!phase.reason.empty()) notice(phase.state == "failed", phase.reason);
  if (history.num_not_finite > 0) {
    notice(true,
           fmt::format("{} step{} with a loss that is not a finite number (gaps in the curve)",
                       history.num_not_finite, history.num_not_finite == 1 ? "" : "s"));
  }
  if (!history.fault.empty()) notice(true, "No curves: " + history.fault);
  return html;
}

std::string phase_card(const RunState& run, const PhaseState& phase, const History& history) {
  const Chart losses = loss_chart(phase, history), metrics = metric_chart(phase, history);
  std::string html = fmt::format(
      "<section class=\"card\"><div class=\"head\"><h3>{}</h3><span class=\"state "
      "{}\">{}</span></div>\n",
      escape_html(phase_label(run, phase)), escape_html(phase.state), escape_html(phase.state));
  html += fmt::format("<p class=\"soft\">{} · {}</p>\n", escape_html(phase.task),
                      phase.from.empty() ? "from scratch" : "from " + escape_html(phase.from));
  html += notices_html(phase, history);
  if (const std::optional<Plateau> plateau = plateau_of(history))
    html += fmt::format("<p class=\"soft\">{}</p>\n", escape_html(plateau_text(*plateau)));
  if (!losses.lines.empty())
    html += "<h4>loss, nats</h4>\n" + chart_legend(losses) + chart_svg(losses);
  if (!metrics.lines.empty()) {
    const std::string title = metrics.lines.size() == 1 ? metrics.lines[0].name : "metrics";
    html += fmt::format("<h4>{}</h4>\n", escape_html(title)) + chart_legend(metrics) +
            chart_svg(metrics);
  }
  return html + lineage_html(history.lineage) + handover_html(phase.handover) +
         events_html(history.events) + "</section>\n";
}

// A chart over all steps of the run, once for wide screens and once for narrow ones: text keeps its
// size on both.
std::string both_widths(const std::string& title, Chart chart) {
  std::string html = fmt::format("<h4>{}</h4>\n", escape_html(title)) + chart_legend(chart);
  chart.width = 1096;
  html += "<div class=\"wide\">" + chart_svg(chart) + "</div>\n";
  chart.width = 340;
  return html + "<div class=\"narrow\">" + chart_svg(chart) + "</div>\n";
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words(1);
  for (const char c : text) {
    if (c == ' ' || c == '+' || c == ',') {
      if (!words.back().empty()) words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  return words;
}

}  // namespace

int colour_of(const std::string& objective) {
  static const std::map<std::string, int> kColours = {
      {"mlm", 0}, {"nsp", 1}, {"tagging", 2}, {"classification", 3}};
  for (const std::string& word : words_of(objective)) {
    const auto found = kColours.find(word);
    if (found != kColours.end()) return found->second;
  }
  return 4;
}

std::string run_charts_section(const RunRecord& record) {
  Chart loss{.title = "Loss over the run",
             .x_title = "steps of all phases",
             .lines = {},
             .bands = {},
             .height = 270};
  Chart rate{.title = "Learning rate over the run",
             .x_title = loss.x_title,
             .lines = {},
             .bands = {},
             .height = 170,
             .from_zero = true};
  Chart speed{.title = "Throughput over the run",
              .x_title = loss.x_title,
              .lines = {},
              .bands = {},
              .height = 170,
              .from_zero = true};
  double start = 0;
  for (std::size_t p = 0; p < record.histories.size(); ++p) {
    const History& history = record.histories[p];
    if (history.last_step == 0) continue;
    const PhaseState& phase = record.run.phases[p];
    const std::string label = phase_label(record.run, phase);
    const double end = start + static_cast<double>(history.last_step);
    for (Chart* chart : {&loss, &rate, &speed}) chart->bands.push_back({start, end, label});
    const auto sum = history.losses.find("loss");
    if (sum != history.losses.end())
      add_training(loss, label, shifted(sum->second, start), colour_of(phase.task));
    const auto valid = history.evaluations.find("valid.loss");
    if (valid != history.evaluations.end()) {
      loss.lines.push_back({label + ", valid.loss", shifted(valid->second, start),
                            colour_of(phase.task), LineStyle::kDots, false});
    }
    if (!history.learning_rate.empty()) {
      rate.lines.push_back({label, thinned(shifted(history.learning_rate, start), kSmoothPoints), 5,
                            LineStyle::kSolid, false});
    }
    const Points& raw = history.tokens_per_second;
    speed.lines.push_back(
        {label, thinned(shifted(raw, start), kSmoothPoints), 2, LineStyle::kFaint, false});
    speed.lines.push_back({label,
                           thinned(smoothed(shifted(raw, start), window_of(raw)), kSmoothPoints), 2,
                           LineStyle::kSolid, false});
    start = end;
  }
  if (loss.bands.empty()) return "";
  for (Line& line : loss.lines) line.in_legend = false;  // the bands name the phases
  for (Chart* chart : {&loss, &rate, &speed}) chart->x_high = start;
  return "<h2>The whole run</h2>\n<div class=\"card\">\n" +
         both_widths("loss, nats (line: training, smoothed; circles: validation)", loss) +
         both_widths("learning rate", rate) + both_widths("tokens per second", speed) + "</div>\n";
}

std::string phases_section(const RunRecord& record) {
  std::string cards;
  for (std::size_t p = 0; p < record.histories.size(); ++p) {
    const PhaseState& phase = record.run.phases[p];
    const bool untouched = phase.state == "pending" && record.histories[p].last_step == 0;
    if (!untouched) cards += phase_card(record.run, phase, record.histories[p]);
  }
  return cards.empty() ? ""
                       : "<h2>Phase by phase</h2>\n<div class=\"phases\">\n" + cards + "</div>\n";
}

}  // namespace polyphase::report
