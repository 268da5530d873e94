// SPDX-License-Identifier: Apache-2.0
#include "control/conditions.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace polyphase {
namespace {

using report::Points;

constexpr double kTail = 0.1;  // of the steps: what counts as their beginning and end

double mean_of(Points::const_iterator begin, Points::const_iterator end) {
  double sum = 0;
  for (auto point = begin; point != end; ++point) sum += point->y;
  return sum / static_cast<double>(end - begin);
}

std::ptrdiff_t tail_of(const Points& points) {
  return std::max<std::ptrdiff_t>(
      1, static_cast<std::ptrdiff_t>(kTail * static_cast<double>(points.size())));
}

double lowest_of(Points::const_iterator begin, Points::const_iterator end) {
  double lowest = std::numeric_limits<double>::infinity();
  for (auto point = begin; point != end; ++point) lowest = std::min(lowest, point->y);
  return lowest;
}

void measure_training(const report::History& history, std::map<std::string, double>& values) {
  for (const auto& [name, points] : history.losses) {
    if (points.empty()) continue;
    const std::string loss = name == "loss" ? "train.loss" : "train." + name + "_loss";
    values[loss] = mean_of(points.end() - tail_of(points), points.end());
    if (name != "loss") continue;
    const double first = mean_of(points.begin(), points.begin() + tail_of(points));
    values["train.first_loss"] = first;
    values["train.rise"] = (values[loss] - first) / first;
  }
}

void measure_validation(const report::History& history, std::map<std::string, double>& values) {
  for (const auto& [name, points] : history.evaluations) {
    if (name.starts_with("valid.") && !points.empty()) values[name] = points.back().y;
  }
  const auto found = history.evaluations.find("valid.loss");
  if (found == history.evaluations.end() || found->second.empty()) return;
  const Points& losses = found->second;
  const double lowest = lowest_of(losses.begin(), losses.end());
  values["valid.lowest_loss"] = lowest;
  values["valid.rise"] = (losses.back().y - lowest) / lowest;
  if (values.contains("train.loss"))
    values["valid.gap"] = (losses.back().y - values["train.loss"]) / losses.back().y;
  const auto late = static_cast<std::ptrdiff_t>(losses.size() / 3);
  if (late == 0) return;
  const double before = lowest_of(losses.begin(), losses.end() - late);
  values["valid.late_gain"] = (before - lowest_of(losses.end() - late, losses.end())) / before;
}

}  // namespace

std::map<std::string, double> measure(const report::History& history,
                                      const recipe::Thresholds& thresholds) {
  std::map<std::string, double> values;
  measure_training(history, values);
  measure_validation(history, values);
  if (!values.contains("train.loss")) return values;
  const auto value = [&values](const char* name) -> std::optional<double> {
    const auto found = values.find(name);
    return found == values.end() ? std::nullopt : std::optional(found->second);
  };
  const bool finite = history.num_not_finite == 0 && std::isfinite(values["train.loss"]);
  const bool diverged = !finite || values["train.rise"] > thresholds.diverged_rise;
  const std::optional<double> gap = value("valid.gap"), rise = value("valid.rise"),
                              late_gain = value("valid.late_gain");
  const bool overfitting = !diverged && ((gap && *gap >= thresholds.overfitting_gap) ||
                                         (rise && *rise >= thresholds.overfitting_rise));
  const auto set = [&values](const char* word, bool holds) { values[word] = holds ? 1 : 0; };
  set("diverged", diverged);
  set("overfitting", overfitting);
  set("underfitting", !diverged && !overfitting && gap && *gap <= thresholds.underfitting_gap);
  set("plateau", !diverged && late_gain && *late_gain <= thresholds.plateau_gain);
  return values;
}

std::vector<std::string> numbers_of_word(const std::string& word) {
  if (word == "diverged") return {"train.first_loss", "train.loss", "train.rise"};
  if (word == "plateau") return {"valid.late_gain", "valid.lowest_loss"};
  return {"train.loss", "valid.loss", "valid.gap", "valid.rise"};
}

std::string definition_of(const std::string& word, const recipe::Thresholds& thresholds) {
  if (word == "diverged")
    return fmt::format(
        "a training loss is not finite, or its mean over the last tenth of the steps more than "
        "{:g} % above that of the first tenth",
        100 * thresholds.diverged_rise);
  if (word == "overfitting") {
    return fmt::format(
        "the training loss is at least {:g} % below the validation loss, or the validation loss at "
        "least {:g} % above its lowest",
        100 * thresholds.overfitting_gap, 100 * thresholds.overfitting_rise);
  }
  if (word == "underfitting") {
    return fmt::format(
        "the training loss is at most {:g} % below the validation loss, and neither overfitting "
        "nor diverged holds",
        100 * thresholds.underfitting_gap);
  }
  return fmt::format(
      "the last third of the evaluations lowers the validation loss by at most {:g} %",
      100 * thresholds.plateau_gain);
}

}  // namespace polyphase
