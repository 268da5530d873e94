// SPDX-License-Identifier: Apache-2.0
#include "report/comparison.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "base/error.hpp"
#include "recipe/differing_keys.hpp"
#include "report/chart.hpp"
#include "report/format.hpp"
#include "report/page.hpp"
#include "report/sections.hpp"
#include "report/table.hpp"

namespace polyphase::report {
namespace {

constexpr std::size_t kColours = 6;           // of the style sheet
constexpr std::size_t kPoints = 240;          // of a curve
constexpr double kSmoothFraction = 1.0 / 40;  // of a phase's steps

// A phase in all runs; nullptr where a run has none of that name, or where it has not begun.
struct ComparedPhase {
  std::string name;
  std::vector<const PhaseState*> phases;
  std::vector<const History*> histories;
};

// A metric in those runs that have it; it may not be a number there.
struct Scores {
  std::string metric;  // "test.accuracy"; empty: no run has any
  std::vector<std::optional<double>> values;
  std::vector<double> sorted;  // those that are finite

  // Of an even number of values the mean of the two in the middle.
  double median() const {
    return (sorted[(sorted.size() - 1) / 2] + sorted[sorted.size() / 2]) / 2;
  }
};

// The folder's own name, also where its path ends in a slash.
std::string folder_name(const std::filesystem::path& folder) {
  return (folder / "").lexically_normal().parent_path().filename().string();
}

// The phase of that name, if it has begun: of a run with rounds that of the best one.
std::optional<std::size_t> find_begun(const RunRecord& record, const std::string& name) {
  const RoundState* best = find_round(record.run.rounds, record.run.rounds.best);
  std::optional<std::size_t> found;
  for (std::size_t p = 0; p < record.run.phases.size(); ++p) {
    const PhaseState& phase = record.run.phases[p];
    const bool begun = phase.step > 0 || record.histories[p].last_step > 0;
    if (phase.name != name || !begun) continue;
    if (best != nullptr) {
      const auto folder = best->folders.find(name);
      if (folder == best->folders.end() || folder->second != phase.folder) continue;
    }
    found = p;
  }
  return found;
}

// In the order of the first run that has them.
std::vector<ComparedPhase> phases_of(const std::vector<NamedRun>& runs) {
  std::vector<ComparedPhase> all;
  for (const NamedRun& first : runs) {
    for (const PhaseState& phase : first.record.run.phases) {
      const auto known = [&](const ComparedPhase& other) { return other.name == phase.name; };
      if (std::any_of(all.begin(), all.end(), known)) continue;
      ComparedPhase compared{.name = phase.name, .phases = {}, .histories = {}};
      for (const NamedRun& run : runs) {
        const std::optional<std::size_t> p = find_begun(run.record, phase.name);
        compared.phases.push_back(p ? &run.record.run.phases[*p] : nullptr);
        compared.histories.push_back(p ? &run.record.histories[*p] : nullptr);
      }
      const auto begun = [](const PhaseState* p) { return p != nullptr; };
      if (std::any_of(compared.phases.begin(), compared.phases.end(), begun))
        all.push_back(std::move(compared));
    }
  }
  return all;
}

Scores scores_of(const ComparedPhase& compared) {
  Scores best;
  for (const char* split : {"test", "valid"}) {
    Scores scores;
    for (const PhaseState* phase : compared.phases) {
      if (scores.metric.empty() && phase != nullptr && !headline_metric(*phase, split).empty())
        scores.metric = std::string(split) + "." + headline_metric(*phase, split);
    }
    if (scores.metric.empty()) continue;
    for (const PhaseState* phase : compared.phases) {
      const bool has = phase != nullptr && phase->metrics.contains(scores.metric);
      scores.values.push_back(has ? std::optional(phase->metrics.at(scores.metric)) : std::nullopt);
      if (has && std::isfinite(*scores.values.back()))
        scores.sorted.push_back(*scores.values.back());
    }
    std::sort(scores.sorted.begin(), scores.sorted.end());
    if (best.metric.empty() || scores.sorted.size() > best.sorted.size()) best = std::move(scores);
  }
  best.values.resize(compared.phases.size());
  return best;
}

std::vector<std::string> cells_of(const ComparedPhase& compared) {
  const Scores scores = scores_of(compared);
  const bool any = !scores.sorted.empty();
  std::vector<std::string> cells = {compared.name,
                                    scores.metric.empty() ? "–" : scores.metric,
                                    std::to_string(scores.sorted.size()),
                                    any ? value_text(scores.median()) : "–",
                                    any ? value_text(scores.sorted.front()) : "–",
                                    any ? value_text(scores.sorted.back()) : "–"};
  for (const std::optional<double>& value : scores.values)
    cells.push_back(value ? value_text(*value) : "–");
  return cells;
}

constexpr std::array kTitles = {"phase", "metric", "runs", "median", "lowest", "highest"};
constexpr std::size_t kFirstNumber = 2;  // of the titles

std::string scores_section(const std::vector<NamedRun>& runs,
                           const std::vector<ComparedPhase>& phases) {
  std::string html = "<h2>Scores</h2>\n<div class=\"card scroll\"><table>\n<tr>";
  std::vector<std::string> titles(kTitles.begin(), kTitles.end());
  for (const NamedRun& run : runs) titles.push_back(run.label);
  for (std::size_t t = 0; t < titles.size(); ++t) {
    html += fmt::format("<th{}>{}</th>", t < kFirstNumber ? "" : " class=\"number\"",
                        escape_html(titles[t]));
  }
  html += "</tr>\n";
  for (const ComparedPhase& phase : phases) {
    html += "<tr>";
    const std::vector<std::string> cells = cells_of(phase);
    for (std::size_t c = 0; c < cells.size(); ++c) {
      html += fmt::format("<td{}>{}</td>", c < kFirstNumber ? "" : " class=\"number\"",
                          escape_html(cells[c]));
    }
    html += "</tr>\n";
  }
  return html + "</table></div>\n";
}

std::string differences_section(const std::vector<NamedRun>& runs) {
  std::vector<std::string> recipes;
  for (const NamedRun& run : runs) {
    if (run.recipe.empty())
      return fmt::format("<p class=\"notice bad\">{} has no recipe.yaml</p>\n",
                         escape_html(run.label));
    recipes.push_back(run.recipe);
  }
  std::map<std::string, std::vector<std::string>> differing;
  try {
    differing = recipe::differing_keys(recipes);
  } catch (const RecipeError& error) {  // of a damaged file the scores are still worth seeing
    return fmt::format("<p class=\"notice bad\">{}</p>\n", escape_html(error.what()));
  }
  std::string rows;
  for (const auto& [key, values] : differing) {
    rows += fmt::format("<tr><td><code>{}</code></td>", escape_html(key));
    for (const std::string& value : values) rows += "<td>" + escape_html(value) + "</td>";
    rows += "</tr>\n";
  }
  if (rows.empty()) return "";
  std::string html =
      "<h2>Where the recipes differ</h2>\n<div class=\"card scroll\"><table>\n<tr><th>key</th>";
  for (const NamedRun& run : runs) html += "<th>" + escape_html(run.label) + "</th>";
  return html + "</tr>\n" + rows + "</table></div>\n";
}

std::string curves_card(const std::vector<NamedRun>& runs, const ComparedPhase& compared) {
  Chart chart{.title = "Loss of " + compared.name, .lines = {}, .bands = {}};
  for (std::size_t r = 0; r < runs.size(); ++r) {
    const History* history = compared.histories[r];
    if (history == nullptr) continue;
    const int colour = static_cast<int>(r % kColours);
    const bool again = r >= kColours;  // a colour's second run is drawn faint
    const auto training = history->losses.find("loss");
    if (training != history->losses.end()) {
      const double window = kSmoothFraction * static_cast<double>(training->second.size());
      chart.lines.push_back({runs[r].label, thinned(smoothed(training->second, window), kPoints),
                             colour, again ? LineStyle::kFaint : LineStyle::kSolid, true});
    }
    const auto valid = history->evaluations.find("valid.loss");
    if (valid != history->evaluations.end())
      chart.lines.push_back({runs[r].label, valid->second, colour, LineStyle::kDots, false});
  }
  if (chart.lines.empty()) return "";
  return fmt::format("<section class=\"card\"><h3>{}</h3>\n<h4>loss, nats</h4>\n{}{}</section>\n",
                     escape_html(compared.name), chart_legend(chart), chart_svg(chart));
}

}  // namespace

std::vector<NamedRun> read_runs(const std::vector<std::filesystem::path>& folders) {
  std::vector<NamedRun> runs;
  for (const std::filesystem::path& folder : folders) {
    const auto same_name = [&](const std::filesystem::path& other) {
      return folder_name(other) == folder_name(folder);
    };
    const bool unique = std::count_if(folders.begin(), folders.end(), same_name) == 1;
    runs.push_back({.label = unique ? folder_name(folder) : folder.string(),
                    .record = read_record(folder),
                    .recipe = text_of_file(folder / "recipe.yaml")});
  }
  return runs;
}

std::string comparison_text(const std::vector<NamedRun>& runs, int columns) {
  std::vector<Table::Column> titles;
  for (std::size_t t = 0; t < kTitles.size(); ++t)
    titles.push_back({kTitles[t], t < kFirstNumber ? Align::kLeft : Align::kRight});
  int spare = 0;
  for (const NamedRun& run : runs) titles.push_back({run.label, Align::kRight, ++spare});
  Table table(titles);
  for (const ComparedPhase& phase : phases_of(runs)) table.add_row(cells_of(phase));
  return table.text(columns);
}

std::string comparison_html(const std::vector<NamedRun>& runs) {
  const std::vector<ComparedPhase> phases = phases_of(runs);
  std::string names;
  for (const NamedRun& run : runs) names += (names.empty() ? "" : " · ") + run.label;
  const std::string title = fmt::format("{} runs side by side", runs.size());
  std::string body =
      fmt::format("<header><h1>{}</h1><p>{}</p></header>\n", title, escape_html(names));
  body += scores_section(runs, phases) + differences_section(runs);
  std::string cards;
  for (const ComparedPhase& phase : phases) cards += curves_card(runs, phase);
  if (!cards.empty()) {
    body +=
        "<h2>Losses (line: training, smoothed; circles: validation)</h2>\n"
        "<div class=\"phases\">\n" +
        cards + "</div>\n";
  }
  return page_html(title, body);
}

}  // namespace polyphase::report
