// SPDX-License-Identifier: Apache-2.0
#include "report/html.hpp"

#include <fmt/format.h>

#include <fstream>
#include <sstream>
#include <system_error>

#include "base/error.hpp"
#include "report/format.hpp"
#include "report/rounds.hpp"
#include "report/sections.hpp"
#include "report/style.hpp"

namespace polyphase::report {

namespace {

std::string text_of_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  if (file) text << file.rdbuf();
  return text.str();
}

RunRecord read_record(const std::filesystem::path& run_folder) {
  RunRecord record{read_run_state(run_folder), {}};
  for (const PhaseState& phase : record.run.phases) {
    const bool began = !phase.folder.empty();
    record.histories.push_back(began ? read_history(run_folder / phase.folder / "metrics.jsonl")
                                     : History{});
  }
  return record;
}

}  // namespace

std::string report_html(const std::filesystem::path& run_folder) {
  const RunRecord record = read_record(run_folder);
  const RunState& run = record.run;
  std::string page =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n";
  page += fmt::format(
      "<title>{} · polyphase report</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n",
      escape_html(run.name), kStyleSheet);
  page += header_section(run) + facts_section(run) + rounds_section(run) + gains_section(run) +
          table_section(run);
  page += run_charts_section(record) + phases_section(record);
  page += recipe_section(text_of_file(run_folder / "recipe.yaml")) + footer_section(run);
  return page + "</main>\n</body>\n</html>\n";
}

std::filesystem::path write_report(const std::filesystem::path& run_folder) {
  const std::string page = report_html(run_folder);
  const std::filesystem::path path = run_folder / "report.html",
                              beside = run_folder / "report.html.part";
  {
    std::ofstream file(beside, std::ios::binary | std::ios::trunc);
    file << page;
    file.close();
    if (!file) {
      std::error_code ignored;
      std::filesystem::remove(beside, ignored);
      fail<SystemError>("{}: cannot be written; is the disk full, or the folder not yours?",
                        beside.string());
    }
  }
  std::error_code error;
  std::filesystem::rename(beside, path, error);
  if (error) fail<SystemError>("{}: cannot be put in place: {}", path.string(), error.message());
  return path;
}

}  // namespace polyphase::report
