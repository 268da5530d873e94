// SPDX-License-Identifier: Apache-2.0
#include "report/html.hpp"

#include "report/page.hpp"
#include "report/rounds.hpp"
#include "report/sections.hpp"

namespace polyphase::report {

RunRecord read_record(const std::filesystem::path& run_folder) {
  RunRecord record{run_folder, read_run_state(run_folder), {}, read_starts(run_folder)};
  for (const PhaseState& phase : record.run.phases) {
    const bool began = !phase.folder.empty();
    record.histories.push_back(began ? read_history(run_folder / phase.folder / "metrics.jsonl")
                                     : History{});
  }
  return record;
}

std::string report_html(const std::filesystem::path& run_folder) {
  const RunRecord record = read_record(run_folder);
  const RunState& run = record.run;
  std::string page = header_section(run) + facts_section(run) + rounds_section(run) +
                     gains_section(run) + table_section(record);
  page += run_charts_section(record) + phases_section(record) + jobs_section(record);
  page += recipe_section(text_of_file(run_folder / "recipe.yaml")) + footer_section(run);
  return page_html(run.name, page);
}

void write_report(const std::filesystem::path& run_folder, const std::filesystem::path& page) {
  write_page(page, report_html(run_folder));
}

std::filesystem::path write_report(const std::filesystem::path& run_folder) {
  const std::filesystem::path page = run_folder / "report.html";
  write_report(run_folder, page);
  return page;
}

}  // namespace polyphase::report
