// SPDX-License-Identifier: Apache-2.0
#include "control/journal.hpp"

#include <cmath>
#include <limits>
#include <system_error>

#include "base/error.hpp"
#include "io/file.hpp"
#include "io/json.hpp"

namespace polyphase {
namespace {

using nlohmann::json;

// JSON has no not-a-number: as in metrics.jsonl, it is written as text.
json number_json(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

double number_of(const json& value) {
  if (value.is_number()) return value.get<double>();
  const double infinity = std::numeric_limits<double>::infinity();
  if (value == "inf") return infinity;
  return value == "-inf" ? -infinity : std::nan("");
}

json considered_json(const Considered& considered) {
  json numbers = json::object();
  for (const auto& [name, value] : considered.numbers) numbers[name] = number_json(value);
  return {{"strategy", considered.strategy},
          {"condition", considered.condition},
          {"holds", considered.holds},
          {"numbers", numbers},
          {"note", considered.note}};
}

Considered considered_of(const json& object) {
  Considered considered = {.strategy = object.at("strategy"),
                           .condition = object.at("condition"),
                           .holds = object.at("holds"),
                           .numbers = {},
                           .note = object.at("note")};
  for (const auto& [name, value] : object.at("numbers").items())
    considered.numbers[name] = number_of(value);
  return considered;
}

json all_considered_json(const std::vector<Considered>& all) {
  json list = json::array();
  for (const Considered& considered : all) list.push_back(considered_json(considered));
  return list;
}

std::vector<Considered> all_considered_of(const json& list) {
  std::vector<Considered> all;
  for (const json& considered : list) all.push_back(considered_of(considered));
  return all;
}

json verdict_json(const Verdict& verdict) {
  json object = {{"kept", verdict.kept},
                 {"score", number_json(verdict.score)},
                 {"gain", number_json(verdict.gain)},
                 {"margin", verdict.margin},
                 {"confidence", verdict.confidence},
                 {"reason", verdict.reason}};
  if (verdict.test) {
    object["test"] = {{"samples", verdict.test->num_samples},
                      {"resamples", verdict.test->num_resamples},
                      {"share_better", verdict.test->share_better}};
  }
  return object;
}

Verdict verdict_of(const json& object) {
  Verdict verdict = {.kept = object.at("kept"),
                     .score = number_of(object.at("score")),
                     .gain = number_of(object.at("gain")),
                     .margin = object.at("margin"),
                     .confidence = object.at("confidence"),
                     .test = {},
                     .reason = object.at("reason")};
  if (object.contains("test")) {
    const json& test = object.at("test");
    verdict.test = {.num_samples = test.at("samples"),
                    .num_resamples = test.at("resamples"),
                    .share_better = test.at("share_better")};
  }
  return verdict;
}

json round_json(const Round& round) {
  json object = {{"round", round.number},
                 {"parent", round.parent},
                 {"adds", round.adds},
                 {"margin", round.margin},
                 {"strategies", round.variant.strategies},
                 {"gates", round.variant.gates},
                 {"changes", round.changes},
                 {"considered", all_considered_json(round.considered)},
                 {"phases", json::array()}};
  for (const PhaseUse& use : round.phases) {
    object["phases"].push_back(
        {{"name", use.name}, {"number", use.number}, {"round", use.round}, {"folder", use.folder}});
  }
  if (round.verdict) object["verdict"] = verdict_json(*round.verdict);
  return object;
}

Round round_of(const json& object) {
  Round round = {.number = object.at("round"),
                 .parent = object.at("parent"),
                 .adds = object.at("adds"),
                 .margin = object.at("margin"),
                 .variant = {.strategies = object.at("strategies"), .gates = object.at("gates")},
                 .changes = object.at("changes"),
                 .considered = all_considered_of(object.at("considered")),
                 .phases = {},
                 .verdict = {}};
  for (const json& use : object.at("phases")) {
    round.phases.push_back({.name = use.at("name"),
                            .number = use.at("number"),
                            .round = use.at("round"),
                            .folder = use.at("folder")});
  }
  if (object.contains("verdict")) round.verdict = verdict_of(object.at("verdict"));
  return round;
}

}  // namespace

const PhaseUse* Round::find(const std::string& phase) const {
  for (const PhaseUse& use : phases) {
    if (use.name == phase) return &use;
  }
  return nullptr;
}

const Round* kept_round(const Journal& journal) {
  for (auto round = journal.rounds.rbegin(); round != journal.rounds.rend(); ++round) {
    if (round->verdict && round->verdict->kept) return &*round;
  }
  return nullptr;
}

void to_json(json& object, const Journal& journal) {
  object = {{"rounds", json::array()},
            {"ended", journal.ended},
            {"considered", all_considered_json(journal.considered)}};
  for (const Round& round : journal.rounds) object["rounds"].push_back(round_json(round));
  for (const Round& round : journal.ahead) object["ahead"].push_back(round_json(round));
}

void from_json(const json& object, Journal& journal) {
  journal = {};
  for (const json& round : object.at("rounds")) journal.rounds.push_back(round_of(round));
  for (const json& round : object.value("ahead", json::array()))
    journal.ahead.push_back(round_of(round));
  object.at("ended").get_to(journal.ended);
  journal.considered = all_considered_of(object.at("considered"));
}

Journal read_journal(const std::filesystem::path& file) {
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return {};
  try {
    return parse_json(read_file(file)).get<Journal>();
  } catch (const json::exception& error) {
    fail<DataError>(
        "{}: not a journal of decisions ({}); put back the file that this run wrote, or remove it: "
        "the same decisions are then made again from the rounds' metrics",
        file.string(), error.what());
  }
}

void write_journal(const std::filesystem::path& file, const Journal& journal) {
  write_file_atomically(file, json(journal).dump(1) + "\n");
}

}  // namespace polyphase
