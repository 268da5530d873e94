// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation.hpp"

#include "kernels/device.hpp"
#include "reference/row_kernels.hpp"

namespace polyphase::test {
namespace {

struct Function {
  Activation kind;
  double (*value)(double);
};

double hyperbolic_tangent(double x) { return std::tanh(x); }

const Function kFunctions[] = {
    {Activation::kGelu, reference::gelu}, {Activation::kGeluTanh, reference::gelu_tanh},
    {Activation::kRelu, reference::relu}, {Activation::kTanh, hyperbolic_tangent},
    {Activation::kSilu, reference::silu},
};

// The absolute error that activation_functions.hpp states, and one rounding.
template <class Real>
std::vector<double> tolerance(const std::vector<double>& exact, double factor = 1.0) {
  std::vector<double> result;
  for (const double value : exact) {
    result.push_back(factor * 3e-7 + std::abs(value) * kStoreError<Real>);
  }
  return result;
}

template <class Real>
void check_forward(const Function& function) {
  Device device;
  // Fine steps from -12 to 12, and what lies far outside.
  std::vector<double> x{0.0, -0.0, 1e-20, -1e-20, 30.0, -30.0, 200.0, -200.0};
  for (int i = -12000; i <= 12000; ++i) x.push_back(to_float(from_float<Real>(i / 1000.0F)));
  std::vector<double> y;
  for (const double value : x) y.push_back(function.value(value));
  const auto out = device.arena().take2<Real>(1, x.size());
  activation_forward<Real>(device.exec(), function.kind, out,
                           device.put_real<Real>(x, 1, x.size()));
  expect_close("y", device.get_real(out), y, tolerance<Real>(y));
}

TEST(Activation, ForwardEqualsTheFormula) {
  for (const Function& function : kFunctions) {
    check_forward<float>(function);
    check_forward<bf16>(function);
  }
}

template <class Real>
void check_backward(const Function& function, std::int64_t num_rows, std::int64_t num_columns,
                    Write write) {
  Device device;
  const std::int64_t count = num_rows * num_columns;
  std::vector<double> x = random_reals(1, count, -6.0, 6.0), dy = random_reals(2, count);
  for (double& value : x) value += value == 0.0 ? 0.5 : 0.0;  // the rectifier has no slope at 0
  std::vector<double> dx(count), y(count), dbias(num_columns, 0.0), magnitude(num_columns, 0.0);
  const double added = write == Write::kAccumulate ? 2.0 : 0.0;
  for (std::int64_t i = 0; i < count; ++i) {
    y[i] = function.value(x[i]);
    dx[i] = dy[i] * central_difference(&x[i], [&] { return function.value(x[i]); });
    dbias[i % num_columns] += dx[i];
    magnitude[i % num_columns] += std::abs(dx[i]);
  }
  const auto gradient = device.put_real<Real>(dy, num_rows, num_columns);
  const auto y_again = device.arena().take2<Real>(num_rows, num_columns);
  const auto bias = device.put_real<float>(std::vector<double>(num_columns, 2.0));
  activation_backward<Real>(device.exec(), function.kind, gradient, y_again, bias, write, gradient,
                            device.put_real<Real>(x, num_rows, num_columns));
  // The slopes of the two GELUs are products of such values with arguments up to 6.
  std::vector<double> dx_error = tolerance<Real>(dx, 12.0), dbias_error(num_columns);
  for (double& error : dx_error) error += kDifferenceError;
  for (std::int64_t c = 0; c < num_columns; ++c) {
    dbias[c] += added;
    dbias_error[c] = num_rows * (12.0 * 3e-7 + kDifferenceError) +
                     num_rows * kFloatEpsilon * (magnitude[c] + added);
  }
  expect_close("dx", device.get_real(gradient), dx, dx_error);
  expect_close("y", device.get_real(y_again), y, tolerance<Real>(y));
  expect_close("dbias", device.get_real(bias), dbias, dbias_error);
}

TEST(Activation, BackwardEqualsCentralDifferences) {
  for (const Function& function : kFunctions) {
    check_backward<float>(function, 1, 1, Write::kOverwrite);
    check_backward<float>(function, 70, 37, Write::kAccumulate);
    check_backward<float>(function, 300, 130, Write::kOverwrite);
    check_backward<bf16>(function, 33, 48, Write::kOverwrite);
  }
}

TEST(Activation, BackwardWithoutBiasAndValueGivesTheSameGradient) {
  Device device;
  const auto x = device.put_real<float>(random_reals(1, 900), 30, 30);
  const auto dy = device.put_real<float>(random_reals(2, 900), 30, 30);
  const auto full = device.arena().take2<float>(30, 30), bare = device.arena().take2<float>(30, 30);
  const auto y = device.arena().take2<float>(30, 30);
  const auto bias = device.arena().take1<float>(30);
  activation_backward<float>(device.exec(), Activation::kGelu, full, y, bias, Write::kOverwrite, dy,
                             x);
  activation_backward<float>(device.exec(), Activation::kGelu, bare, {}, {}, Write::kOverwrite, dy,
                             x);
  EXPECT_EQ(device.get_real(full), device.get_real(bare));
}

// A gated activation's operands and its plain results.
struct Gated {
  std::int64_t num_rows, num_columns;
  std::vector<double> x, dy, y, dx, dbias, magnitude;  // the last: of dbias' terms

  Gated(const Function& function, std::int64_t rows_of, std::int64_t columns_of)
      : num_rows(rows_of),
        num_columns(columns_of),
        x(random_reals(1, rows_of * 2 * columns_of, -6.0, 6.0)),
        dy(random_reals(2, rows_of * columns_of)),
        y(rows_of * columns_of),
        dx(x.size()),
        dbias(2 * columns_of, 0.0),
        magnitude(2 * columns_of, 0.0) {
    for (double& value : x) value += value == 0.0 ? 0.5 : 0.0;
    for (std::int64_t n = 0; n < num_rows; ++n) {
      for (std::int64_t c = 0; c < num_columns; ++c) {
        const std::int64_t linear = n * 2 * num_columns + c, gate = linear + num_columns;
        const auto value = [&] { return x[linear] * function.value(x[gate]); };
        y[n * num_columns + c] = value();
        for (const std::int64_t i : {linear, gate}) {
          dx[i] = dy[n * num_columns + c] * central_difference(&x[i], value);
          dbias[i - n * 2 * num_columns] += dx[i];
          magnitude[i - n * 2 * num_columns] += std::abs(dx[i]);
        }
      }
    }
  }
};

template <class Real>
void check_gated(const Function& function, std::int64_t num_rows, std::int64_t num_columns,
                 Write write) {
  Device device;
  const Gated exact(function, num_rows, num_columns);
  // In place: gradients take the memory of what they belong to.
  const auto x = device.put_real<Real>(exact.x, num_rows, 2 * num_columns);
  const auto dy = device.put_real<Real>(exact.dy, num_rows, num_columns);
  const auto y = device.arena().take2<Real>(num_rows, num_columns),
             y_again = device.arena().take2<Real>(num_rows, num_columns);
  const auto bias = device.put_real<float>(std::vector<double>(2 * num_columns, 2.0));
  gated_activation_forward<Real>(device.exec(), function.kind, y, x);
  gated_activation_backward<Real>(device.exec(), function.kind, x, y_again, bias, write, dy, x);
  // Values and slopes, with the errors that check_backward states, times factors up to 6.
  expect_close("y", device.get_real(y), exact.y, tolerance<Real>(exact.y, 6.0));
  EXPECT_EQ(device.get_real(y_again), device.get_real(y));
  std::vector<double> dx_error = tolerance<Real>(exact.dx, 12.0 * 6.0), dbias = exact.dbias, error;
  for (double& each : dx_error) each += 6.0 * kDifferenceError;
  const double added = write == Write::kAccumulate ? 2.0 : 0.0;
  for (std::int64_t c = 0; c < 2 * num_columns; ++c) {
    dbias[c] += added;
    error.push_back(num_rows * 6.0 * (12.0 * 3e-7 + kDifferenceError) +
                    num_rows * kFloatEpsilon * (exact.magnitude[c] + added));
  }
  expect_close("dx", device.get_real(x), exact.dx, dx_error);
  expect_close("dbias", device.get_real(bias), dbias, error);
}

TEST(GatedActivation, EqualsTheFormulaAndCentralDifferences) {
  for (const Function& function : kFunctions) {
    check_gated<float>(function, 1, 1, Write::kOverwrite);
    check_gated<float>(function, 70, 37, Write::kAccumulate);
    check_gated<bf16>(function, 33, 48, Write::kOverwrite);
  }
}

TEST(GatedActivation, BackwardWithoutBiasAndValueGivesTheSameGradient) {
  Device device;
  const auto x = device.put_real<float>(random_reals(1, 1800), 30, 60);
  const auto dy = device.put_real<float>(random_reals(2, 900), 30, 30);
  const auto full = device.arena().take2<float>(30, 60), bare = device.arena().take2<float>(30, 60);
  const auto y = device.arena().take2<float>(30, 30);
  const auto bias = device.arena().take1<float>(60);
  gated_activation_backward<float>(device.exec(), Activation::kSilu, full, y, bias,
                                   Write::kOverwrite, dy, x);
  gated_activation_backward<float>(device.exec(), Activation::kSilu, bare, {}, {},
                                   Write::kOverwrite, dy, x);
  EXPECT_EQ(device.get_real(full), device.get_real(bare));
}

TEST(Activation, NaNStaysNaN) {
  Device device;
  const std::vector<double> nans(17, std::numeric_limits<double>::quiet_NaN());
  const auto x = device.put_real<float>(nans, 1, 17);
  const auto y = device.arena().take2<float>(1, 17);
  for (const Function& function : kFunctions) {
    activation_forward<float>(device.exec(), function.kind, y, x);
    for (const double value : device.get_real(y)) EXPECT_TRUE(std::isnan(value));
  }
}

TEST(Activation, NoRowsGiveAZeroBiasGradient) {
  Device device;
  const auto none = device.arena().take2<float>(0, 3);
  const auto bias = device.put_real<float>({1.0, 2.0, 3.0});
  activation_backward<float>(device.exec(), Activation::kGelu, none, none, bias, Write::kOverwrite,
                             none, none);
  EXPECT_EQ(device.get_real(bias), (std::vector<double>{0.0, 0.0, 0.0}));
}

}  // namespace
}  // namespace polyphase::test
