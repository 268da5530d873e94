// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "report/format.hpp"
#include "report/sections.hpp"
#include "report/table.hpp"

namespace polyphase::report {

namespace {

std::string state_html(const std::string& state) {
  return fmt::format("<span class=\"state {0}\">{0}</span>", escape_html(state));
}

std::string run_state(const RunState& run) {
  // The most urgent state of a phase is the run's.
  for (const char* state : {"failed", "running", "interrupted"}) {
    for (const PhaseState& phase : run.phases) {
      if (phase.state == state) return state;
    }
  }
  const bool pending =
      std::any_of(run.phases.begin(), run.phases.end(),
                  [](const PhaseState& phase) { return phase.state == "pending"; });
  return pending ? "pending" : "done";
}

std::string fact(const std::string& value, const std::string& meaning) {
  return fmt::format("<div class=\"card fact\"><b>{}</b><span>{}</span></div>\n",
                     escape_html(value), escape_html(meaning));
}

std::string metrics_html(const PhaseState& phase, const std::string& split) {
  std::string html;
  const std::string prefix = split + ".";
  for (const auto& [name, value] : phase.metrics) {
    if (name.rfind(prefix, 0) != 0) continue;
    html += fmt::format("<div class=\"metric\"><span>{}</span>{}</div>",
                        escape_html(name.substr(prefix.size())), value_text(value));
  }
  return html.empty() ? "–" : html;
}

// The phases a model went through before this one, oldest first: "pretrain → supersense".
std::string lineage(const RunState& run, const PhaseState& phase) {
  std::string text;
  std::string from = phase.from;
  for (std::size_t hops = 0; !from.empty() && hops < run.phases.size(); ++hops) {
    text = from + (text.empty() ? "" : " → " + text);
    const auto parent = std::find_if(
        run.phases.rbegin(), run.phases.rend(),
        [&](const PhaseState& other) { return other.name == from && other.round <= phase.round; });
    from = parent == run.phases.rend() ? "" : parent->from;
  }
  return text.empty() ? "from scratch" : "after " + text;
}

struct Gain {
  const PhaseState* phase;
  double value;
};

std::string gain_card(const RunState& run, const std::string& title,
                      const std::vector<Gain>& gains) {
  const auto by_value = [](const Gain& a, const Gain& b) { return a.value < b.value; };
  const double best = std::max_element(gains.begin(), gains.end(), by_value)->value;
  std::string html = fmt::format("<section class=\"card\"><h3>{}</h3>\n", escape_html(title));
  for (const Gain& gain : gains) {
    // A share of the whole: these metrics run from 0 to 1.
    html += fmt::format(
        "<div class=\"gain{}\"><div>{}<small>{}</small></div><div class=\"track\"><i "
        "style=\"width:{:.1f}%\"></i></div>"
        "<b>{:.1f} %</b></div>\n",
        gain.value == best ? " best" : "", escape_html(phase_label(run, *gain.phase)),
        escape_html(lineage(run, *gain.phase)), 100 * gain.value, 100 * gain.value);
  }
  return html + "</section>\n";
}

}  // namespace

std::string phase_label(const RunState& run, const PhaseState& phase) {
  const bool rounds = std::any_of(run.phases.begin(), run.phases.end(),
                                  [](const PhaseState& other) { return other.round > 1; });
  return rounds ? fmt::format("{} · round {}", phase.name, phase.round) : phase.name;
}

std::string header_section(const RunState& run) {
  std::string facts;
  if (!run.recipe_hash.empty()) facts += "recipe " + run.recipe_hash.substr(0, 12);
  if (!run.version.empty()) facts += (facts.empty() ? "polyphase " : " · polyphase ") + run.version;
  return fmt::format("<header><h1>{}</h1>{}<p>{}</p></header>\n", escape_html(run.name),
                     state_html(run_state(run)), escape_html(facts));
}

std::string facts_section(const RunState& run) {
  const auto sum = [&](auto member) {
    return std::accumulate(run.phases.begin(), run.phases.end(), 0.0,
                           [&](double total, const PhaseState& phase) {
                             if (!phase.trains()) return total;
                             return total + static_cast<double>(phase.*member);
                           });
  };
  const auto done = std::count_if(run.phases.begin(), run.phases.end(),
                                  [](const PhaseState& phase) { return phase.state == "done"; });
  const double seconds = sum(&PhaseState::seconds), tokens = sum(&PhaseState::tokens);
  std::string html = "<div class=\"facts\">\n";
  html += fact(fmt::format("{} of {}", done, run.phases.size()), "phases done");
  html += fact(duration_text(seconds), seconds < 3600 ? "training, min:s" : "training, h:min:s");
  html += fact(count_text(static_cast<std::int64_t>(sum(&PhaseState::step))), "optimizer steps");
  html += fact(quantity_text(tokens), "tokens trained on");
  if (seconds > 0) html += fact(quantity_text(tokens / seconds), "tokens per second");
  return html + "</div>\n";
}

// A line for each axis of ranks that steps waited for: "12 % data".
static std::string waits_html(const History& history) {
  double seconds = 0;
  for (const Point& step : history.step_seconds) seconds += step.y;
  std::string html;
  for (const auto& [wait, axis] : {std::pair{history.data_wait_seconds, "data"},
                                   std::pair{history.tensor_wait_seconds, "tensor"},
                                   std::pair{history.pipeline_wait_seconds, "pipeline"}}) {
    if (wait > 0 && seconds > 0) {
      html += fmt::format("{}{:.0f} % {}", html.empty() ? "" : "<br/>", 100 * wait / seconds, axis);
    }
  }
  return html.empty() ? "–" : html;
}

std::string table_section(const RunRecord& record) {
  const RunState& run = record.run;
  std::string html =
      "<h2>Phases</h2>\n<div class=\"card "
      "scroll\"><table>\n<tr><th>phase</th><th>from</th><th>task</th><th>state</th>"
      "<th class=\"number\">steps</th><th class=\"number\">time</th><th "
      "class=\"number\">tokens/s</th><th>waits</th>"
      "<th>validation</th><th>test</th></tr>\n";
  for (std::size_t p = 0; p < run.phases.size(); ++p) {
    const PhaseState& phase = run.phases[p];
    const bool began = phase.step > 0;
    std::string steps =
        phase.step == phase.total_steps
            ? count_text(phase.step)
            : fmt::format("{} / {}", count_text(phase.step), count_text(phase.total_steps));
    html += fmt::format(
        "<tr><td><b>{}</b></td><td>{}</td><td>{}</td><td>{}</td><td class=\"number\">{}</td><td "
        "class=\"number\">{}</td>"
        "<td class=\"number\">{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
        escape_html(phase_label(run, phase)),
        phase.from.empty() ? "<span class=\"soft\">scratch</span>" : escape_html(phase.from),
        escape_html(phase.task), state_html(phase.state), began ? steps : "–",
        began ? duration_text(phase.seconds) : "–",
        began ? quantity_text(tokens_per_second(phase)) : "–", waits_html(record.histories[p]),
        metrics_html(phase, "valid"), metrics_html(phase, "test"));
  }
  return html + "</table></div>\n";
}

std::string gains_section(const RunState& run) {
  std::map<std::pair<std::string, std::string>, std::vector<Gain>> groups;  // by task and metric
  for (const PhaseState& phase : run.phases) {
    for (const auto& [name, value] : phase.metrics) {
      const bool share = std::isfinite(value) && value >= 0 && value <= 1;
      const bool of_test = name.rfind("test.", 0) == 0 && name.find("loss") == std::string::npos;
      if (share && of_test && phase.state == "done")
        groups[{phase.task, name.substr(5)}].push_back({&phase, value});
    }
  }
  std::string cards;
  for (const auto& [key, gains] : groups) {
    if (gains.size() > 1)
      cards += gain_card(run, fmt::format("{}: {} on the test part", key.first, key.second), gains);
  }
  return cards.empty() ? ""
                       : "<h2>What came before, and what it gained</h2>\n<div class=\"gains\">\n" +
                             cards + "</div>\n";
}

std::string recipe_section(const std::string& recipe_yaml) {
  if (recipe_yaml.empty()) return "";
  return "<h2>Recipe</h2>\n<details class=\"card\"><summary>the resolved recipe, every default "
         "written out</summary>\n<pre><code>" +
         escape_html(recipe_yaml) + "</code></pre></details>\n";
}

std::string footer_section(const RunState& run) {
  return fmt::format(
      "<footer>Made by polyphase {} from status.json, recipe.yaml and metrics.jsonl. Recipe hash "
      "<code>{}</code>.</footer>\n",
      escape_html(run.version.empty() ? "of unknown version" : run.version),
      escape_html(run.recipe_hash.empty() ? "unknown" : run.recipe_hash));
}

}  // namespace polyphase::report
