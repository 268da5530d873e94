// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace polyphase {

// Metrics of classification from whole counts, so that the counts of data-parallel ranks can be
// added first. All scores are ratios, with the conventions of scikit-learn.

// How many rows of a true class were given each class.
struct ConfusionMatrix {
  explicit ConfusionMatrix(std::int64_t num_classes)
      : num_classes(num_classes), counts_KK(num_classes * num_classes, 0) {}

  // Counts one row; both classes are in [0, num_classes), else std::logic_error.
  void add(std::int64_t truth, std::int64_t predicted);
  std::int64_t count(std::int64_t truth, std::int64_t predicted) const {
    return counts_KK[truth * num_classes + predicted];
  }

  std::int64_t num_classes = 0;
  std::vector<std::int64_t> counts_KK;  // a row for each true class
};

// Rows given their true class, of all rows (accuracy_score); 0 without rows.
double accuracy(const ConfusionMatrix& matrix);

// What one class (or one label of several) is worth: 0 where a ratio has no whole.
struct ClassScore {
  double precision = 0, recall = 0, f1 = 0;
};

// Precision, recall and F1 of each class, K of them; all 0 for a class that never occurs.
std::vector<ClassScore> class_scores(const ConfusionMatrix& matrix);

// Plain means over the classes that occur in the truth or in the predictions, as scikit-learn's
// average="macro" takes them when no list of labels is given. A class of the matrix that occurs in
// neither does not count; one that occurs in the truth alone counts with 0.
ClassScore macro_score(const ConfusionMatrix& matrix);

// average="micro": precision, recall and F1 of all decisions together. With exactly one class a row
// all three are the accuracy.
ClassScore micro_score(const ConfusionMatrix& matrix);

// Matthews correlation of K classes (Gorodkin 2004, equation 8; matthews_corrcoef), in [-1, 1]; 0
// where the truth or the predictions hold one class only.
double matthews_correlation(const ConfusionMatrix& matrix);

// Decisions of rows that carry any number of K labels.
struct MultiLabelCounts {
  explicit MultiLabelCounts(std::int64_t num_labels)
      : correct_K(num_labels, 0), predicted_K(num_labels, 0), there_K(num_labels, 0) {}

  // Counts one row; both hold K entries, not 0 where the row has the label.
  void add(const std::vector<std::uint8_t>& truth_K, const std::vector<std::uint8_t>& predicted_K);

  std::vector<std::int64_t> correct_K, predicted_K, there_K;
  std::int64_t num_rows = 0;
  std::int64_t num_exact = 0;  // rows whose labels are all right
};

// Rows whose labels are all right, of all rows (accuracy_score of an indicator matrix).
double subset_accuracy(const MultiLabelCounts& counts);

// Means over all K labels, also those that never occur, which count with 0: so does scikit-learn
// with indicator matrices, unlike with single labels.
ClassScore macro_score(const MultiLabelCounts& counts);

// Precision, recall and F1 of all rows × labels together.
ClassScore micro_score(const MultiLabelCounts& counts);

}  // namespace polyphase
