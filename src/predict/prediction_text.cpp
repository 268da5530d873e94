// SPDX-License-Identifier: Apache-2.0
#include "predict/prediction_text.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace polyphase {
namespace {

using Json = nlohmann::ordered_json;
using recipe::TaskKind;

// Texts of a file of records may hold what stands between columns and lines here.
std::string on_one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\t' || c == '\n' || c == '\r'; }, ' ');
  return text;
}

std::string answer_line(const SamplePrediction& prediction, double no_answer_threshold) {
  const Prediction::Answer& answer = prediction.prediction.answer;
  return fmt::format("{}\t{:.4f}\t{:.4f}", on_one_line(prediction.answer(no_answer_threshold)),
                     answer.score, answer.score_of_none);
}

}  // namespace

std::string PredictionWriter::operator()(const InputSample& sample,
                                         const SamplePrediction& prediction) const {
  return format_ == PredictionFormat::kText ? text_of(sample, prediction)
                                            : json_of(sample, prediction);
}

// The best class, or the labels that are more likely than not.
std::vector<std::size_t> PredictionWriter::labels_of(const Prediction& prediction) const {
  const std::vector<double>& p_K = prediction.probabilities_K;
  std::vector<std::size_t> labels;
  if (task_ == TaskKind::kClassification) {
    labels.push_back(std::max_element(p_K.begin(), p_K.end()) - p_K.begin());
  } else {
    for (std::size_t k = 0; k < p_K.size(); ++k) {
      if (p_K[k] >= 0.5) labels.push_back(k);
    }
  }
  return labels;
}

std::string PredictionWriter::text_of(const InputSample& sample,
                                      const SamplePrediction& prediction) const {
  const Prediction& p = prediction.prediction;
  if (task_ == TaskKind::kTagging) {
    std::string lines;
    for (std::size_t i = 0; i < p.tags_T.size(); ++i)
      lines += fmt::format("{}\t{}\n", sample.texts.at(i), label_names_.at(p.tags_T[i]));
    return prediction.empty ? "" : lines + "\n";
  }
  if (prediction.empty) return "\n";
  if (task_ == TaskKind::kRegression) return fmt::format("{:.6g}\n", p.value);
  if (task_ == TaskKind::kQuestionAnswering)
    return answer_line(prediction, no_answer_threshold_) + "\n";
  std::vector<std::string> columns;
  for (const std::size_t k : labels_of(p))
    columns.push_back(fmt::format("{}\t{:.6f}", label_names_.at(k), p.probabilities_K[k]));
  return fmt::format("{}\n", fmt::join(columns, "\t"));
}

std::string PredictionWriter::json_of(const InputSample& sample,
                                      const SamplePrediction& prediction) const {
  if (prediction.empty) return "null\n";
  const Prediction& p = prediction.prediction;
  Json object = Json::object();
  if (task_ == TaskKind::kTagging) {
    object["tokens"] = sample.texts;
    object["tags"] = Json::array();
    for (const std::int32_t tag : p.tags_T) object["tags"].push_back(label_names_.at(tag));
  } else if (task_ == TaskKind::kRegression) {
    object["value"] = p.value;
  } else if (task_ == TaskKind::kQuestionAnswering) {
    if (!sample.id.empty()) object["id"] = sample.id;
    object["answer"] = prediction.answer(no_answer_threshold_);
    object["score"] = p.answer.score;
    object["no_answer_score"] = p.answer.score_of_none;
  } else {
    std::vector<std::string> names;
    for (const std::size_t k : labels_of(p)) names.push_back(label_names_.at(k));
    if (task_ == TaskKind::kClassification) {
      object["label"] = names.at(0);
      object["probability"] = *std::max_element(p.probabilities_K.begin(), p.probabilities_K.end());
    } else {
      object["labels"] = names;
    }
    object["probabilities"] = Json::object();
    for (std::size_t k = 0; k < label_names_.size(); ++k)
      object["probabilities"][label_names_[k]] = p.probabilities_K.at(k);
  }
  return object.dump() + "\n";
}

}  // namespace polyphase
