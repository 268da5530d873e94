// SPDX-License-Identifier: Apache-2.0
#include "report/lineage_text.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace polyphase::report {
namespace {

std::string short_digest(const std::string& digest) { return digest.substr(0, 12); }

// "topic, step 500, of run wordnet, round 2, checkpoint 3f2a…"
std::string title_of(const Lineage& lineage) {
  std::string text = lineage.phase;
  if (lineage.step > 0) text += fmt::format(", step {}", lineage.step);
  if (!lineage.run.empty()) text += ", of run " + lineage.run;
  if (lineage.round > 1) text += fmt::format(", round {}", lineage.round);
  if (!lineage.digest.empty())
    text +=
        (lineage.generation.is_null() ? ", checkpoint " : ", text ") + short_digest(lineage.digest);
  return text;
}

void add_lines(const Lineage& lineage, const std::string& role, const std::string& indent,
               std::vector<std::string>& lines) {
  lines.push_back(indent + role + title_of(lineage));
  const std::string below = indent + "  ";
  if (lineage.run.empty()) {
    lines.push_back(below + "nothing else is known: an older program wrote it");
    return;
  }
  lines.push_back(fmt::format("{}seed {}, polyphase {}", below, lineage.seed,
                              fmt::join(lineage.versions, ", ")));
  std::string data;
  for (const auto& [name, digest] : lineage.corpora)
    data += fmt::format("{} {}, ", name, short_digest(digest));
  lines.push_back(
      fmt::format("{}data: {}tokenizer {}", below, data, short_digest(lineage.tokenizer)));
  if (!lineage.generation.is_null()) {
    std::string settings;
    for (const auto& [name, value] : lineage.generation.items())
      settings += (settings.empty() ? "" : ", ") + name + " " + value.dump();
    lines.push_back(below + "generation: " + settings);
  }
  for (const auto& [name, made] : lineage.made) add_lines(*made, name + " made by ", below, lines);
  for (const std::string& change : lineage.changes) lines.push_back(below + "changed: " + change);
  if (lineage.from) {
    add_lines(*lineage.from, "from ", below, lines);
  } else {
    lines.push_back(below + "from scratch");
  }
  if (lineage.teacher) add_lines(*lineage.teacher, "taught by ", below, lines);
}

}  // namespace

std::vector<std::string> lineage_lines(const Lineage& lineage) {
  std::vector<std::string> lines;
  add_lines(lineage, "", "", lines);
  return lines;
}

}  // namespace polyphase::report
