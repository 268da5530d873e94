// SPDX-License-Identifier: Apache-2.0
#include "metrics/classification.hpp"

#include <cmath>
#include <numeric>

#include "base/error.hpp"
#include "metrics/ratio.hpp"

namespace polyphase {
namespace {

struct Margins {
  std::vector<std::int64_t> there_K, predicted_K;
  std::int64_t num_rows = 0, num_correct = 0;
};

Margins margins_of(const ConfusionMatrix& matrix) {
  const std::int64_t k = matrix.num_classes;
  Margins margins = {.there_K = std::vector<std::int64_t>(k, 0),
                     .predicted_K = std::vector<std::int64_t>(k, 0)};
  for (std::int64_t truth = 0; truth < k; ++truth) {
    for (std::int64_t predicted = 0; predicted < k; ++predicted) {
      margins.there_K[truth] += matrix.count(truth, predicted);
      margins.predicted_K[predicted] += matrix.count(truth, predicted);
      margins.num_rows += matrix.count(truth, predicted);
    }
    margins.num_correct += matrix.count(truth, truth);
  }
  return margins;
}

ClassScore score_of(std::int64_t correct, std::int64_t predicted, std::int64_t there) {
  const double c = static_cast<double>(correct), p = static_cast<double>(predicted),
               t = static_cast<double>(there);
  return {.precision = ratio_or_zero(c, p),
          .recall = ratio_or_zero(c, t),
          .f1 = ratio_or_zero(2 * c, p + t)};
}

ClassScore mean_of(const std::vector<ClassScore>& scores) {
  ClassScore sum;
  for (const ClassScore& score : scores) {
    sum.precision += score.precision;
    sum.recall += score.recall;
    sum.f1 += score.f1;
  }
  const double count = static_cast<double>(scores.size());
  return {.precision = ratio_or_zero(sum.precision, count),
          .recall = ratio_or_zero(sum.recall, count),
          .f1 = ratio_or_zero(sum.f1, count)};
}

double dot(const std::vector<std::int64_t>& a, const std::vector<std::int64_t>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

}  // namespace

void ConfusionMatrix::add(std::int64_t truth, std::int64_t predicted) {
  POLYPHASE_PROMISE(truth >= 0 && truth < num_classes && predicted >= 0 && predicted < num_classes,
                    "class {} taken for {}, but there are {} classes", truth, predicted,
                    num_classes);
  ++counts_KK[truth * num_classes + predicted];
}

double accuracy(const ConfusionMatrix& matrix) {
  const Margins margins = margins_of(matrix);
  return ratio_or_zero(static_cast<double>(margins.num_correct),
                       static_cast<double>(margins.num_rows));
}

std::vector<ClassScore> class_scores(const ConfusionMatrix& matrix) {
  const Margins margins = margins_of(matrix);
  std::vector<ClassScore> scores;
  for (std::int64_t k = 0; k < matrix.num_classes; ++k)
    scores.push_back(score_of(matrix.count(k, k), margins.predicted_K[k], margins.there_K[k]));
  return scores;
}

ClassScore macro_score(const ConfusionMatrix& matrix) {
  const Margins margins = margins_of(matrix);
  std::vector<ClassScore> occurring;
  const std::vector<ClassScore> all = class_scores(matrix);
  for (std::int64_t k = 0; k < matrix.num_classes; ++k) {
    if (margins.there_K[k] + margins.predicted_K[k] > 0) occurring.push_back(all[k]);
  }
  return mean_of(occurring);
}

ClassScore micro_score(const ConfusionMatrix& matrix) {
  const Margins margins = margins_of(matrix);
  return score_of(margins.num_correct, margins.num_rows, margins.num_rows);
}

double matthews_correlation(const ConfusionMatrix& matrix) {
  const Margins margins = margins_of(matrix);
  const double rows = static_cast<double>(margins.num_rows);
  const double covariance =
      static_cast<double>(margins.num_correct) * rows - dot(margins.there_K, margins.predicted_K);
  const double spread_there = rows * rows - dot(margins.there_K, margins.there_K);
  const double spread_predicted = rows * rows - dot(margins.predicted_K, margins.predicted_K);
  // Two roots: the product of the spreads would lose digits for many rows.
  return ratio_or_zero(covariance, std::sqrt(spread_there) * std::sqrt(spread_predicted));
}

void MultiLabelCounts::add(const std::vector<std::uint8_t>& truth_K,
                           const std::vector<std::uint8_t>& predicted_here_K) {
  POLYPHASE_PROMISE(truth_K.size() == there_K.size() && predicted_here_K.size() == there_K.size(),
                    "{} true and {} predicted labels a row, but there are {}", truth_K.size(),
                    predicted_here_K.size(), there_K.size());
  bool exact = true;
  for (std::size_t k = 0; k < there_K.size(); ++k) {
    const bool there = truth_K[k] != 0, predicted = predicted_here_K[k] != 0;
    correct_K[k] += there && predicted;
    predicted_K[k] += predicted;
    there_K[k] += there;
    exact = exact && there == predicted;
  }
  ++num_rows;
  num_exact += exact;
}

double subset_accuracy(const MultiLabelCounts& counts) {
  return ratio_or_zero(static_cast<double>(counts.num_exact), static_cast<double>(counts.num_rows));
}

ClassScore macro_score(const MultiLabelCounts& counts) {
  std::vector<ClassScore> scores;
  for (std::size_t k = 0; k < counts.there_K.size(); ++k)
    scores.push_back(score_of(counts.correct_K[k], counts.predicted_K[k], counts.there_K[k]));
  return mean_of(scores);
}

ClassScore micro_score(const MultiLabelCounts& counts) {
  const auto sum = [](const std::vector<std::int64_t>& of) {
    return std::accumulate(of.begin(), of.end(), std::int64_t{0});
  };
  return score_of(sum(counts.correct_K), sum(counts.predicted_K), sum(counts.there_K));
}

}  // namespace polyphase
