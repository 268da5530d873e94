// SPDX-License-Identifier: Apache-2.0
#include "report/history.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.hpp"
#include "io/metrics.hpp"

namespace polyphase::report {

namespace {

using nlohmann::json;

// A number of a record; not-a-number is kept, a missing or foreign value is none.
std::optional<double> number_of(const json& record, const char* key) {
  const auto found = record.find(key);
  if (found == record.end()) return std::nullopt;
  if (found->is_null()) return std::numeric_limits<double>::quiet_NaN();
  if (!found->is_number()) return std::nullopt;
  return found->get<double>();
}

std::string text_of(const json& record, const char* key) {
  const auto found = record.find(key);
  return found != record.end() && found->is_string() ? found->get<std::string>() : std::string();
}

void add_step(History& history, double step, const json& record) {
  const auto add = [&](Points& points, std::optional<double> value) {
    if (value) points.push_back({step, *value});
  };
  const std::optional<double> loss = number_of(record, "loss");
  if (loss && !std::isfinite(*loss)) ++history.num_not_finite;
  if (loss) history.losses["loss"].push_back({step, *loss});  // a phase may train nothing
  add(history.learning_rate, number_of(record, "learning_rate"));
  add(history.tokens_per_second, number_of(record, "tokens_per_second"));
  add(history.step_seconds, number_of(record, "seconds"));
  history.data_wait_seconds += number_of(record, "data_wait_seconds").value_or(0);
  history.tensor_wait_seconds += number_of(record, "tensor_wait_seconds").value_or(0);
  history.pipeline_wait_seconds += number_of(record, "pipeline_wait_seconds").value_or(0);
  const auto parts = record.find("losses");
  if (parts == record.end() || !parts->is_object()) return;
  for (const auto& [name, value] : parts->items())
    add(history.losses[name], number_of(*parts, name.c_str()));
}

void add_evaluation(History& history, double step, const json& record) {
  const auto metrics = record.find("metrics");
  if (metrics == record.end() || !metrics->is_object()) return;
  const std::string split = text_of(record, "split");
  for (const auto& [name, value] : metrics->items()) {
    // A writer may put the split in front of the name itself.
    const bool named = split.empty() || name.rfind(split + ".", 0) == 0;
    const std::optional<double> number = number_of(*metrics, name.c_str());
    if (number) history.evaluations[named ? name : split + "." + name].push_back({step, *number});
  }
}

std::optional<Lineage> lineage_of(const json& record) {
  try {
    return record.at("lineage").get<Lineage>();
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

void sort_by_step(History& history) {
  const auto by_step = [](const Point& a, const Point& b) { return a.x < b.x; };
  for (auto& [name, points] : history.losses)
    std::stable_sort(points.begin(), points.end(), by_step);
  for (auto& [name, points] : history.evaluations)
    std::stable_sort(points.begin(), points.end(), by_step);
  std::stable_sort(history.learning_rate.begin(), history.learning_rate.end(), by_step);
  std::stable_sort(history.tokens_per_second.begin(), history.tokens_per_second.end(), by_step);
}

}  // namespace

History read_history(const std::filesystem::path& metrics_file) {
  History history;
  std::vector<json> records;
  try {
    records = read_metrics(metrics_file);
  } catch (const Error& error) {
    history.fault = error.what();
    return history;
  }
  for (const json& record : records) {
    const std::optional<double> step = number_of(record, "step");
    if (!step || !std::isfinite(*step)) continue;
    const std::string kind = text_of(record, "kind");
    if (kind == "step") add_step(history, *step, record);
    if (kind == "evaluation") add_evaluation(history, *step, record);
    if (kind == "corpus") history.unigram_nats = number_of(record, "unigram_nats");
    if (kind == "lineage") history.lineage = lineage_of(record);
    if (kind == "save") {
      history.saves.push_back({static_cast<std::int64_t>(*step),
                               number_of(record, "time").value_or(0),
                               number_of(record, "stall_seconds").value_or(0)});
    }
    if (kind == "event") {
      history.events.push_back(
          {static_cast<std::int64_t>(*step), text_of(record, "what"), text_of(record, "detail")});
    }
    history.last_step = std::max(history.last_step, static_cast<std::int64_t>(*step));
  }
  sort_by_step(history);
  return history;
}

Points smoothed(const Points& points, double window) {
  const double keep = 1 - 1 / std::max(1.0, window);
  double sum = 0, weight = 0;
  Points smooth;
  smooth.reserve(points.size());
  for (const Point& point : points) {
    if (std::isfinite(point.y)) {
      sum = keep * sum + (1 - keep) * point.y;
      weight = keep * weight + (1 - keep);
    }
    smooth.push_back({point.x, std::isfinite(point.y) ? sum / weight : point.y});
  }
  return smooth;
}

Points thinned(const Points& points, std::size_t max_points) {
  if (points.size() <= max_points || max_points < 2) return points;
  const std::size_t stretches = max_points / 2;
  Points thin;
  for (std::size_t s = 0; s < stretches; ++s) {
    const auto begin = points.begin() + static_cast<std::ptrdiff_t>(s * points.size() / stretches);
    const auto end =
        points.begin() + static_cast<std::ptrdiff_t>((s + 1) * points.size() / stretches);
    auto low = end, high = end;
    for (auto at = begin; at != end; ++at) {
      if (!std::isfinite(at->y)) continue;
      if (low == end || at->y < low->y) low = at;
      if (high == end || at->y > high->y) high = at;
    }
    if (low == end) {
      thin.push_back({begin->x, std::numeric_limits<double>::quiet_NaN()});
      continue;
    }
    thin.push_back(*std::min(low, high));
    if (low != high) thin.push_back(*std::max(low, high));
  }
  return thin;
}

}  // namespace polyphase::report
