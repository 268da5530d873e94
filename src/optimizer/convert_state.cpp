// SPDX-License-Identifier: Apache-2.0
#include "optimizer/convert_state.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"

namespace polyphase {
namespace {

bool is_mean_of_gradients(const std::string& name) {
  return name == "moment1" || name == "momentum" || name == "velocity";
}

// 1 - decay^count, without loss where it is small.
double weights_of_average(double decay, std::int64_t count) {
  return decay == 0 ? 1.0 : -std::expm1(static_cast<double>(count) * std::log(decay));
}

double weight_sum(const recipe::Optimizer& optimizer, const std::string& name,
                  const UpdateCounts& counts) {
  if (name == "moment1") return weights_of_average(optimizer.beta1, counts.gradients);
  if (name == "moment2") return weights_of_average(optimizer.beta2, counts.squares);
  if (name == "momentum") {
    const double decay = optimizer.kind == "lion" ? optimizer.beta2 : optimizer.momentum;
    return weights_of_average(decay, counts.gradients);
  }
  if (name == "velocity")
    return weights_of_average(optimizer.momentum, counts.gradients) / (1.0 - optimizer.momentum);
  return 1.0;
}

std::vector<float> scaled(const std::vector<float>& x, double factor) {
  std::vector<float> y;
  y.reserve(x.size());
  for (const float value : x) y.push_back(static_cast<float>(factor * value));
  return y;
}

class Conversion {
 public:
  Conversion(const recipe::Optimizer& before, const WholeState& state, const UpdateCounts& counts,
             const recipe::Optimizer& now, const std::vector<std::int64_t>& shape)
      : before_(before), state_(state), counts_(counts), now_(now), shape_(shape) {}

  ConvertedState to(const std::vector<std::string>& wanted) {
    for (const std::string& name : wanted) {
      if (is_mean_of_gradients(name)) {
        convert_mean(name);
      } else {
        convert_squares(name);
      }
    }
    const bool begins_squares =
        std::find(wanted.begin(), wanted.end(), "moment2") != wanted.end() &&
        !result_.tensors.contains("moment2");
    if (begins_squares && mean_ != state_.end()) count_mean_as_gradient();
    return std::move(result_);
  }

 private:
  void convert_mean(const std::string& name) {
    if (counts_.gradients == 0) return;
    mean_ = std::find_if(state_.begin(), state_.end(),
                         [](const auto& tensor) { return is_mean_of_gradients(tensor.first); });
    if (mean_ == state_.end()) return;
    result_.counts.gradients = counts_.gradients;
    result_.sources[name] = mean_->first;
    result_.tensors[name] = scaled(mean_->second, weight_sum(now_, name, counts_) /
                                                      weight_sum(before_, mean_->first, counts_));
  }

  void convert_squares(const std::string& name) {
    if (counts_.squares == 0) return;
    const double weights = weight_sum(now_, name, counts_);
    std::vector<float> values;
    if (const auto rows = state_.find("row_square"); rows != state_.end()) {
      values = product(rows->second, state_.at("column_square"), weights);
      result_.sources[name] = "row_square and column_square";
    } else {
      const auto full = std::find_if(state_.begin(), state_.end(), [](const auto& tensor) {
        return tensor.first == "moment2" || tensor.first == "square";
      });
      if (full == state_.end()) return;
      const double factor = weights / weight_sum(before_, full->first, counts_);
      result_.sources[name] = full->first;
      values = name == "row_square" || name == "column_square"
                   ? means(full->second, name == "row_square", factor)
                   : scaled(full->second, factor);
    }
    result_.counts.squares = counts_.squares;
    result_.tensors[name] = std::move(values);
  }

  // Over each row, or each column.
  std::vector<float> means(const std::vector<float>& x_RC, bool of_rows, double factor) const {
    const std::int64_t num_rows = shape_.at(0), num_columns = shape_.at(1);
    std::vector<double> sums(static_cast<std::size_t>(of_rows ? num_rows : num_columns));
    for (std::int64_t r = 0; r < num_rows; ++r) {
      for (std::int64_t c = 0; c < num_columns; ++c)
        sums[of_rows ? r : c] += x_RC[r * num_columns + c];
    }
    std::vector<float> y;
    const double share = factor / static_cast<double>(of_rows ? num_columns : num_rows);
    for (const double sum : sums) y.push_back(static_cast<float>(share * sum));
    return y;
  }

  std::vector<float> product(const std::vector<float>& row_R, const std::vector<float>& column_C,
                             double factor) const {
    double mean = 0;
    for (const float row : row_R) mean += row;
    mean /= static_cast<double>(row_R.size());
    std::vector<float> y;
    y.reserve(row_R.size() * column_C.size());
    for (const float row : row_R) {
      const double share = mean > 0 ? factor * row / mean : 0.0;
      for (const float column : column_C) y.push_back(static_cast<float>(share * column));
    }
    return y;
  }

  void count_mean_as_gradient() {
    const double weights = weight_sum(before_, mean_->first, counts_);
    result_.sources["moment2"] = "the square of that";
    std::vector<float>& square = result_.tensors["moment2"];
    for (const float value : mean_->second) {
      const double mean = value / weights;
      square.push_back(static_cast<float>((1.0 - now_.beta2) * mean * mean));
    }
    result_.counts.squares = 1;
  }

  const recipe::Optimizer& before_;
  const WholeState& state_;
  const UpdateCounts counts_;
  const recipe::Optimizer& now_;
  const std::vector<std::int64_t>& shape_;
  WholeState::const_iterator mean_ = state_.end();  // the source's
  ConvertedState result_;
};

}  // namespace

ConvertedState convert_state(const recipe::Optimizer& before, const WholeState& state,
                             const UpdateCounts& counts, const recipe::Optimizer& now,
                             const std::vector<std::string>& wanted,
                             const std::vector<std::int64_t>& shape) {
  return Conversion(before, state, counts, now, shape).to(wanted);
}

const std::vector<std::string>& state_names() {
  static const std::vector<std::string> names = {
      "velocity", "moment1", "moment2", "momentum", "square", "row_square", "column_square"};
  return names;
}

}  // namespace polyphase
