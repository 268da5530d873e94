// SPDX-License-Identifier: Apache-2.0
#include "model/head_run.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/gradients.hpp"
#include "model/reference_run.hpp"

namespace polyphase {

HeadRun::HeadRun(const std::vector<std::int32_t>& lengths, const Make& make,
                 std::int32_t first_text)
    : grid_(make_grid(*test_world, test_world->size())),
      device_(1 << 20),
      objective_(make(parameters, grid_.tensor, model())) {
  batch.starts = {0};
  for (const std::int32_t length : lengths) {
    batch.starts.push_back(batch.starts.back() + length);
    batch.max_tokens = std::max<std::int64_t>(batch.max_tokens, length);
  }
  for (std::int32_t n = 0; n < kRowMultiple; ++n) {
    batch.tokens_N.push_back(n % 3);
    batch.positions_N.push_back(n);
    batch.segments_N.push_back(0);
    batch.row_ids_N.push_back(n);
  }
  for (std::size_t b = 0; first_text > 0 && b < lengths.size(); ++b) {
    for (std::int32_t row = first_text; row < lengths[b]; ++row)
      batch.segments_N[batch.starts[b] + row] = 1;
  }
  parameters.allocate();
  parameters.allocate_gradients(test::layout_of_values(parameters), 1);
  values_.resize(static_cast<std::size_t>(parameters.total_count()));
  for (const Parameter& parameter : parameters.all()) {
    for (std::int64_t i = 0; i < parameter.count; ++i) {
      const auto element = static_cast<double>(i + parameter.offset);
      values(parameter.spec.name)[i] = static_cast<float>(0.8 * std::sin(1.1 * element));
    }
  }
  for (std::int64_t i = 0; i < kRowMultiple * kWidth; ++i)
    hidden.push_back(static_cast<float>(std::cos(0.7 * static_cast<double>(i))));
}

recipe::Model HeadRun::model() {
  recipe::Model model;
  model.width = kWidth;
  return model;
}

Tally HeadRun::run(bool training, float scale) {
  const ArenaScope scope(device_.arena());
  test::write_tensor(parameters.values(), values_);
  const Tensor2<float> hidden_NC = device_.put(hidden, kRowMultiple, kWidth),
                       dhidden_NC =
                           device_.put(std::vector<float>(hidden.size()), kRowMultiple, kWidth);
  parameters.begin_micro_batch(0);
  Pass pass = begin_pass(device_.exec(), grid_.tensor, batch, batch, {}, training);
  pass.r_drop = r_drop;
  const Tally tally = objective_->run(pass, hidden_NC, dhidden_NC, scale);
  dhidden = device_.get(flat(dhidden_NC));
  if (training) parameters.check_all_written();
  return tally;
}

float* HeadRun::values(const std::string& name) {
  return values_.data() + parameters.find(name)->offset;
}

std::vector<double> HeadRun::copy(const std::string& name) {
  return {values(name), values(name) + parameters.find(name)->count};
}

void HeadRun::check_gradients(double largest) {
  constexpr double kStep = 1.0 / 256, kScale = 0.5;
  run(true, static_cast<float>(kScale));
  const std::vector<float> gradient = test::gradients_by_value(parameters);
  const std::vector<float> by_hidden = dhidden;
  const auto minimised = [&] {
    const Tally tally = run(true, 0.0F);
    return tally.nats + static_cast<double>(r_drop) * tally.divergence;
  };
  const auto difference = [&](float& x) {
    const float kept = x;
    x = static_cast<float>(kept + kStep);
    const double above = minimised();
    x = static_cast<float>(kept - kStep);
    const double below = minimised();
    x = kept;
    return kScale * (above - below) / (2 * kStep);
  };
  // Losses are sums of float32 numbers, some ten roundings each, and the step divides their error.
  const double error =
      kScale * (10 * std::numeric_limits<float>::epsilon() * largest / kStep + kStep * kStep);
  for (const Parameter& parameter : parameters.all()) {
    double steepest = 0.0;
    for (std::int64_t i = 0; i < parameter.count; ++i) {
      const double slope = difference(values(parameter.spec.name)[i]);
      EXPECT_NEAR(gradient[parameter.offset + i], slope, error) << parameter.spec.name << i;
      steepest = std::max(steepest, std::abs(slope));
    }
    EXPECT_GT(steepest, 10 * error) << parameter.spec.name;
  }
  for (std::size_t i = 0; i < hidden.size(); ++i)
    EXPECT_NEAR(by_hidden[i], difference(hidden[i]), error) << "hidden " << i;
}

}  // namespace polyphase
