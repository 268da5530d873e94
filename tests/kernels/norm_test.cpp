// SPDX-License-Identifier: Apache-2.0
#include "kernels/norm.hpp"

#include "kernels/device.hpp"
#include "reference/row_kernels.hpp"

namespace polyphase::test {
namespace {

using reference::NormRow;

struct NormCase {
  std::int64_t num_rows, num_columns;
  float rate = 0.0F;
  NormPlace place = NormPlace::kPre;
  bool with_update = true, with_skip = true;
  NormKind kind = NormKind::kLayer;
  bool with_shift = true;
};

constexpr float kEpsilon = 1e-5F;
constexpr std::uint64_t kKey = 42;

// A case's inputs as rows of the reference, and the gradients that come back.
struct NormData {
  NormCase shape;
  std::vector<NormRow> rows;
  std::vector<double> dy, dskip, gain, shift, bias;

  explicit NormData(const NormCase& of) : shape(of) {
    const std::int64_t count = of.num_rows * of.num_columns;
    const auto residual = random_reals(1, count), update = random_reals(2, count);
    bias = random_reals(3, of.num_columns);
    gain = random_reals(4, of.num_columns, 0.5, 1.5);
    shift = random_reals(5, of.with_shift ? of.num_columns : 0);
    dy = random_reals(6, count);
    dskip = of.with_skip ? random_reals(7, count) : std::vector<double>(count, 0.0);
    for (std::int64_t n = 0; n < of.num_rows; ++n) {
      NormRow row;
      row.residual.assign(residual.begin() + n * of.num_columns,
                          residual.begin() + (n + 1) * of.num_columns);
      for (std::int64_t c = 0; c < of.num_columns && of.with_update; ++c) {
        row.update.push_back(update[n * of.num_columns + c]);
        row.factor.push_back(reference::dropout_factor(kKey, of.rate, id(n), c));
      }
      row.bias = bias, row.gain = gain, row.shift = shift, row.epsilon = kEpsilon;
      row.centred = of.kind == NormKind::kLayer;
      rows.push_back(row);
    }
  }

  static std::uint64_t id(std::int64_t n) { return 1000 + 7 * n; }

  Dropout dropout(Device& device) const {
    std::vector<std::uint64_t> ids;
    for (std::int64_t n = 0; n < shape.num_rows; ++n) ids.push_back(id(n));
    return {kKey, shape.rate, device.put(ids)};
  }

  std::vector<double> gather(std::vector<double> (*of)(const NormRow&)) const {
    std::vector<double> all;
    for (const NormRow& row : rows) {
      const std::vector<double> part = of(row);
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }

  // What the gradients stand for: Σ dy · y + Σ dskip · (sum or y).
  double loss(std::int64_t n) const {
    const std::vector<double> y = rows[n].y(), sum = rows[n].sum();
    double total = 0.0;
    for (std::int64_t c = 0; c < shape.num_columns; ++c) {
      const std::int64_t i = n * shape.num_columns + c;
      total += dy[i] * y[c] + dskip[i] * (shape.place == NormPlace::kPre ? sum[c] : y[c]);
    }
    return total;
  }
  double by_column(std::vector<double> NormRow::*field, std::int64_t c) {
    double total = 0.0;
    for (std::int64_t n = 0; n < shape.num_rows; ++n) {
      total += central_difference(&(rows[n].*field)[c], [&] { return loss(n); });
    }
    return total;
  }
};

// Every output is a sum of at most 4 C products of numbers below 10, or of 2 N of them for the sums
// over rows.
double tolerance(const NormCase& shape, double num_terms) {
  return (num_terms + 8.0) * kFloatEpsilon * 10.0 * (shape.rate > 0 ? 2.0 : 1.0);
}

template <class Real>
struct NormRun {
  Device device;
  Tensor2<float> sum, y_float;
  Tensor2<Real> y;
  Tensor1<float> mean, rstd;

  explicit NormRun(const NormData& data) {
    const std::int64_t n = data.shape.num_rows, c = data.shape.num_columns;
    Arena& arena = device.arena();
    sum = arena.take2<float>(n, c), y_float = arena.take2<float>(n, c);
    y = arena.take2<Real>(n, c);
    mean = arena.take1<float>(data.shape.kind == NormKind::kLayer ? n : 0);
    rstd = arena.take1<float>(n);
    const auto residual =
        device.put_real<float>(data.gather([](const NormRow& r) { return r.residual; }), n, c);
    Tensor2<float> update;
    Tensor1<float> bias;
    if (data.shape.with_update) {
      update = device.put_real<float>(data.gather([](const NormRow& r) { return r.update; }), n, c);
      bias = device.put_real<float>(data.bias);
    }
    add_norm_forward<Real>(device.exec(), sum, y, y_float, mean, rstd, residual, update, bias,
                           device.put_real<float>(data.gain), device.put_real<float>(data.shift),
                           {.kind = data.shape.kind, .epsilon = kEpsilon}, data.dropout(device));
  }
};

const NormCase kCases[] = {
    {.num_rows = 1, .num_columns = 16},
    {.num_rows = 70, .num_columns = 37, .rate = 0.1F},
    {.num_rows = 33, .num_columns = 130, .rate = 0.3F, .place = NormPlace::kPost},
    {.num_rows = 5, .num_columns = 7, .with_update = false},
    {.num_rows = 32, .num_columns = 64, .place = NormPlace::kPost, .with_skip = false},
    {.num_rows = 70, .num_columns = 37, .rate = 0.1F, .kind = NormKind::kRms, .with_shift = false},
    {.num_rows = 33, .num_columns = 130, .place = NormPlace::kPost, .kind = NormKind::kRms},
    {.num_rows = 5, .num_columns = 48, .with_shift = false},
};

template <class Real>
void check_forward(const NormCase& shape) {
  const NormData data(shape);
  NormRun<Real> run(data);
  const auto sum = data.gather([](const NormRow& r) { return r.sum(); });
  const auto y = data.gather([](const NormRow& r) { return r.y(); });
  const double error = tolerance(shape, 2.0 * shape.num_columns);
  expect_close("sum", run.device.get_real(run.sum), sum, 8 * kFloatEpsilon * 10);
  expect_close("y_float", run.device.get_real(run.y_float), y, error);
  std::vector<double> rounded;
  for (const double value : y) rounded.push_back(error + std::abs(value) * kStoreError<Real>);
  expect_close("y", run.device.get_real(run.y), y, rounded);
  const auto again = run.device.arena().template take2<Real>(shape.num_rows, shape.num_columns);
  norm_again<Real>(run.device.exec(), again, run.sum, run.mean, run.rstd,
                   run.device.template put_real<float>(data.gain),
                   run.device.template put_real<float>(data.shift), shape.kind);
  EXPECT_EQ(run.device.get_real(again), run.device.get_real(run.y));
}

TEST(Norm, ForwardEqualsPlainLoops) {
  for (const NormCase& shape : kCases) check_forward<float>(shape);
}

TEST(Norm, ForwardInBfloat16EqualsPlainLoops) {
  for (const NormCase& shape : kCases) check_forward<bf16>(shape);
}

template <class Real>
void check_backward(const NormCase& shape, Write write) {
  NormData data(shape);
  NormRun<Real> run(data);
  Device& device = run.device;
  const std::int64_t num_rows = shape.num_rows, num_columns = shape.num_columns;
  // The skip's gradient is overwritten by the sum's, as the model does it.
  const auto dskip = device.put_real<float>(data.dskip, num_rows, num_columns);
  const auto dsum = shape.with_skip ? dskip : device.arena().take2<float>(num_rows, num_columns);
  const auto dupdate =
      device.arena().template take2<Real>(shape.with_update ? num_rows : 0, num_columns);
  const std::vector<double> before(num_columns, write == Write::kAccumulate ? 3.0 : 1e30);
  const auto dgain = device.put_real<float>(before);
  const auto dshift = shape.with_shift ? device.put_real<float>(before) : Tensor1<float>();
  const auto dbias = shape.with_update ? device.put_real<float>(before) : Tensor1<float>();
  add_norm_backward<Real>(device.exec(), dsum, dupdate, dgain, dshift, dbias, write,
                          device.put_real<float>(data.dy, num_rows, num_columns),
                          shape.with_skip ? Tensor2<const float>(dskip) : Tensor2<const float>(),
                          shape.place, run.sum, run.mean, run.rstd,
                          device.put_real<float>(data.gain), shape.kind, data.dropout(device));

  std::vector<double> dresidual, masked;
  for (std::int64_t n = 0; n < num_rows; ++n) {
    for (std::int64_t c = 0; c < num_columns; ++c) {
      NormRow& row = data.rows[n];
      const auto loss = [&] { return data.loss(n); };
      dresidual.push_back(central_difference(&row.residual[c], loss));
      if (shape.with_update) masked.push_back(central_difference(&row.update[c], loss));
    }
  }
  const double row_error = tolerance(shape, 4.0 * num_columns) + kDifferenceError;
  expect_close("dsum", device.get_real(dsum), dresidual, row_error);
  std::vector<double> rounded;
  for (const double value : masked)
    rounded.push_back(row_error + std::abs(value) * kStoreError<Real>);
  expect_close("dupdate", device.get_real(dupdate), masked, rounded);

  const double column_error =
      num_rows * (tolerance(shape, 4.0 * num_columns + num_rows) + kDifferenceError);
  const double added = write == Write::kAccumulate ? 3.0 : 0.0;
  std::vector<double> by_gain, by_shift, by_bias;
  for (std::int64_t c = 0; c < num_columns; ++c) {
    by_gain.push_back(added + data.by_column(&NormRow::gain, c));
    if (shape.with_shift) by_shift.push_back(added + data.by_column(&NormRow::shift, c));
    if (shape.with_update) by_bias.push_back(added + data.by_column(&NormRow::bias, c));
  }
  expect_close("dgain", device.get_real(dgain), by_gain, column_error);
  expect_close("dshift", device.get_real(dshift), by_shift, column_error);
  expect_close("dbias", device.get_real(dbias), by_bias, column_error);
}

TEST(Norm, BackwardEqualsCentralDifferences) {
  for (const NormCase& shape : kCases) {
    check_backward<float>(shape, Write::kOverwrite);
    check_backward<float>(shape, Write::kAccumulate);
  }
}

TEST(Norm, BackwardInBfloat16EqualsCentralDifferences) {
  for (const NormCase& shape : kCases) check_backward<bf16>(shape, Write::kAccumulate);
}

TEST(Norm, NoRowsGiveZeroGradients) {
  Device device;
  const auto dgain = device.put_real<float>({5.0, 5.0}),
             dshift = device.put_real<float>({5.0, 5.0});
  const Tensor2<float> none = device.arena().take2<float>(0, 2);
  add_norm_backward<float>(device.exec(), none, none, dgain, dshift, {}, Write::kOverwrite, none,
                           none, NormPlace::kPre, none, {}, {}, dgain, NormKind::kLayer, {});
  EXPECT_EQ(device.get_real(dgain), (std::vector<double>{0.0, 0.0}));
  EXPECT_EQ(device.get_real(dshift), (std::vector<double>{0.0, 0.0}));
}

TEST(Norm, CountingTakesTheWorkspaceOfARealPass) {
  const NormData data({.num_rows = 70, .num_columns = 37});
  NormRun<float> run(data);
  const auto dgain = run.device.put_real<float>(data.gain);
  const auto dskip = run.device.arena().take2<float>(70, 37);
  const std::size_t used = run.device.arena().used_bytes();
  const auto backward = [&](const Exec& exec) {
    add_norm_backward<float>(exec, dskip, {}, dgain, dgain, {}, Write::kOverwrite, run.sum, {},
                             NormPlace::kPre, run.sum, run.mean, run.rstd, dgain, NormKind::kLayer,
                             {});
  };
  backward(run.device.exec());
  Arena counting;
  backward({Space(), &counting});
  EXPECT_GT(counting.peak_bytes(), 0U);
  EXPECT_EQ(counting.used_bytes(), 0U);
  EXPECT_EQ(run.device.arena().peak_bytes() - used, counting.peak_bytes());
}

TEST(Norm, NaNReachesTheOutput) {
  NormData data({.num_rows = 3, .num_columns = 20});
  data.rows[1].update[4] = std::numeric_limits<double>::quiet_NaN();
  NormRun<float> run(data);
  EXPECT_FALSE(all_finite(run.device.exec(), flat(run.y)));
}

}  // namespace
}  // namespace polyphase::test
