// SPDX-License-Identifier: Apache-2.0
#include "report/rounds.hpp"

#include <fmt/format.h>

#include <cmath>

#include "report/format.hpp"
#include "report/table.hpp"

namespace polyphase::report {
namespace {

std::string score_text(const RoundState& round) {
  return round.state == "running" ? "–" : value_text(round.score);
}

std::string list_html(const char* what, const std::vector<std::string>& lines) {
  if (lines.empty()) return "";
  std::string html = fmt::format("<details open=\"\"><summary>{}</summary><ul>", escape_html(what));
  for (const std::string& line : lines) html += "<li>" + escape_html(line) + "</li>";
  return html + "</ul></details>";
}

// Phases that this round took from others: "pretrain of round 1".
std::string reused_text(const RunState& run, const RoundState& round) {
  std::string text;
  for (const PhaseState& phase : run.phases) {
    const auto use = round.folders.find(phase.name);
    if (use == round.folders.end() || use->second != phase.folder || phase.round == round.number)
      continue;
    text += fmt::format("{}{} of round {}", text.empty() ? "" : ", ", phase.name, phase.round);
  }
  return text;
}

std::string round_html(const RunState& run, const RoundState& round) {
  std::string html = fmt::format(
      "<div class=\"round\"><div class=\"head\"><h3>Round {}: {}</h3><b>{}</b>"
      "<span class=\"state {}\">{}</span></div>\n",
      round.number, escape_html(round.adds), score_text(round), escape_html(round.state),
      escape_html(round.state));
  for (const std::string& change : round.changes)
    html += "<p><code>" + escape_html(change) + "</code></p>\n";
  if (!round.reason.empty()) html += "<p>" + escape_html(round.reason) + "</p>\n";
  const std::string reused = reused_text(run, round);
  if (!reused.empty()) html += "<p class=\"soft\">uses " + escape_html(reused) + "</p>\n";
  return html + list_html("why it was tried", round.considered) + "</div>\n";
}

// The round and, indented below it, those that started from it.
std::string tree_html(const RunState& run, std::int64_t parent) {
  std::string items;
  for (const RoundState& round : run.rounds.rounds) {
    if (round.parent != parent || round.number == parent) continue;
    items += "<li>" + round_html(run, round) +
             (round.number > parent ? tree_html(run, round.number) : "") + "</li>\n";
  }
  return items.empty() ? "" : "<ul class=\"tree\">\n" + items + "</ul>\n";
}

}  // namespace

std::string rounds_text(const RoundsState& rounds, int columns) {
  if (rounds.rounds.empty()) return "";
  Table table({{"round", Align::kRight},
               {"parent", Align::kRight, 2},
               {"adds"},
               {rounds.metric, Align::kRight},
               {"state"},
               {"why", Align::kLeft, 1}});
  for (const RoundState& round : rounds.rounds) {
    const std::string number =
        fmt::format("{}{}", round.number, round.number == rounds.best ? " *" : "");
    table.add_row({number, round.parent == 0 ? "–" : fmt::format("{}", round.parent), round.adds,
                   score_text(round), round.state, round.reason});
  }
  std::string text = fmt::format("\ntarget: {}\n{}", rounds.target, table.text(columns));
  if (rounds.best > 0) text += fmt::format("* kept: the best so far\n");
  if (!rounds.ended.empty()) text += fmt::format("ended: {}\n", rounds.ended);
  for (const std::string& line : rounds.considered) text += fmt::format("  {}\n", line);
  return text;
}

std::string rounds_section(const RunState& run) {
  const RoundsState& rounds = run.rounds;
  if (rounds.rounds.empty()) return "";
  std::string html = fmt::format(
      "<h2>Rounds</h2>\n<div class=\"card\"><p>Target: {}. {}</p>\n", escape_html(rounds.target),
      rounds.ended.empty() ? "Not ended yet." : "Ended: " + escape_html(rounds.ended) + ".");
  html += tree_html(run, 0);
  return html + list_html("what else was looked at in the end", rounds.considered) + "</div>\n";
}

}  // namespace polyphase::report
