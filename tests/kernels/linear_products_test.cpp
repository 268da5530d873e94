// SPDX-License-Identifier: Apache-2.0
#include "kernels/linear_products.hpp"

#include <type_traits>

#include "kernels/product_fixture.hpp"
#include "kernels/work.hpp"
#include "reference/row_kernels.hpp"

namespace polyphase::test {
namespace {

constexpr auto kOverwrite = Write::kOverwrite, kAccumulate = Write::kAccumulate;

// What a device's own tanh may be wrong by, where a library's product has it: PTX says 2^-11 of
// tanh.approx. On the host it is the activation's kernel, to 3e-7 (activation_test.cpp).
constexpr bool kOnHost = std::is_same_v<Space, Kokkos::DefaultHostExecutionSpace>;
constexpr double kTanhError = kOnHost ? 3e-7 : 1.0 / 2048.0;

struct Function {
  Activation kind;
  double (*value)(double);
};
constexpr Function kGelu{Activation::kGelu, reference::gelu},
    kGeluTanh{Activation::kGeluTanh, reference::gelu_tanh};

template <class Real>
void expect_activated(const Function& function) {
  const ProductCase c{.m = 40, .n = 48, .k = 32, .op_b = kYes, .bias = true};
  const Product p(c, kStoreError<Real>);
  Device device;
  const Tensor2<const Real> a = device.put_real<Real>(p.a, c.m, c.k),
                            weight = device.put_real<Real>(p.b, c.n, c.k);
  const auto x = device.arena().take2<Real>(c.m, c.n), y = device.arena().take2<Real>(c.m, c.n);
  matmul_activated<Real>(device.exec(), function.kind, y, x, a, weight,
                         device.put_real<float>(p.bias));
  expect_close("x", device.get_real(x), p.expected, p.error);
  // No slope of these functions is above 1.13; half of tanh is multiplied by x.
  std::vector<double> expected, error;
  for (std::size_t i = 0; i < p.expected.size(); ++i) {
    expected.push_back(function.value(p.expected[i]));
    error.push_back(1.13 * p.error[i] + kStoreError<Real> * std::abs(expected[i]) +
                    kTanhError * (1.0 + 0.5 * std::abs(p.expected[i])));
  }
  expect_close("y", device.get_real(y), expected, error);
}

TEST(LinearProductsTest, ActivatedIsTheProductAndItsActivation) {
  expect_activated<float>(kGeluTanh);
  expect_activated<bf16>(kGeluTanh);
  expect_activated<bf16>(kGelu);
}

// Column sums of x, each term with its own error, added to `first`.
struct ColumnSums {
  std::vector<double> value, error;

  ColumnSums(const std::vector<double>& x, const std::vector<double>& x_error,
             std::int64_t num_columns, double first)
      : value(num_columns, first), error(num_columns, 0.0) {
    const auto num_rows = static_cast<double>(x.size()) / static_cast<double>(num_columns);
    for (std::size_t i = 0; i < x.size(); ++i) {
      value[i % num_columns] += x[i];
      error[i % num_columns] +=
          x_error[i] + (num_rows + 1.0) * kFloatEpsilon * (std::abs(x[i]) + std::abs(first));
    }
  }
};

template <class Real>
void expect_through_activation(const Function& function, Write write) {
  const ProductCase c{.m = 40, .n = 48, .k = 32};
  const Product p(c, kStoreError<Real>);
  std::vector<double> x = random_reals(5, c.m * c.n, -3.0, 3.0), y, y_error, dx, dx_error;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double slope = central_difference(&x[i], [&] { return function.value(x[i]); });
    y.push_back(function.value(x[i]));
    y_error.push_back(3e-7 + kStoreError<Real> * std::abs(y[i]));
    dx.push_back(p.expected[i] * slope);
    // Up to |x| = 3 a slope has tanh and its own slope with factors whose sum is below 6.
    dx_error.push_back(1.13 * p.error[i] + kStoreError<Real> * std::abs(dx[i]) +
                       std::abs(p.expected[i]) * (6.0 * kTanhError + kDifferenceError));
  }
  const double first = write == kAccumulate ? 2.0 : 0.0;
  const ColumnSums sums(dx, dx_error, c.n, first);

  Device device;
  const Tensor2<const Real> dy = device.put_real<Real>(p.a, c.m, c.k),
                            weight = device.put_real<Real>(p.b, c.k, c.n);
  const auto at_x = device.put_real<Real>(x, c.m, c.n);
  const auto at_dx = device.arena().take2<Real>(c.m, c.n);
  const auto dbias = device.put_real<float>(std::vector<double>(c.n, 2.0));
  const BiasGradient left = matmul_through_activation<Real>(device.exec(), function.kind, at_dx,
                                                            at_x, {dbias, write}, dy, weight, at_x);
  if (kOnHost) {
    EXPECT_EQ(left.sum_N.extent(0), 0U);
  }
  matmul_gradients<Real>(device.exec(), device.arena().take2<float>(c.n, c.k), kOverwrite, left,
                         at_dx, dy);
  expect_close("dx", device.get_real(at_dx), dx, dx_error);
  expect_close("y", device.get_real(at_x), y, y_error);
  expect_close("dbias", device.get_real(dbias), sums.value, sums.error);
}

TEST(LinearProductsTest, ThroughAnActivationGoTheGradientAndItsSums) {
  expect_through_activation<float>(kGeluTanh, kAccumulate);
  expect_through_activation<bf16>(kGeluTanh, kOverwrite);
  expect_through_activation<bf16>(kGeluTanh, kAccumulate);
  expect_through_activation<bf16>(kGelu, kOverwrite);
}

// `first_bias`: where the bias's gradient begins, in floats behind an address of the arena.
template <class In>
void expect_gradients(Write write, Write bias_write, std::int64_t first_bias) {
  const ProductCase c{.m = 48, .n = 32, .k = 300, .op_a = kYes, .write = write};
  const Product p(c, kStoreError<float>);
  const ColumnSums sums(p.a, std::vector<double>(p.a.size(), 0.0), c.m,
                        bias_write == kAccumulate ? 2.0 : 0.0);
  Device device;
  const Tensor2<const In> dy = device.put_real<In>(p.a, c.k, c.m),
                          a = device.put_real<In>(p.b, c.k, c.n);
  const auto put_dweight = [&] { return device.put_real<float>(p.y, c.m, c.n); };
  const auto put_dbias = [&] {
    const auto all = device.put_real<float>(std::vector<double>(first_bias + c.m, 2.0));
    return Tensor1<float>(all.data() + first_bias, c.m);
  };
  const auto dweight = put_dweight(), dweight_alone = put_dweight();
  const auto dbias = put_dbias(), dbias_alone = put_dbias();
  matmul_gradients<In>(device.exec(), dweight, write, {dbias, bias_write}, dy, a);
  matmul_gradients<In>(device.exec(), dweight_alone, write, {}, dy, a);
  matmul_gradients<In>(device.exec(), {}, write, {dbias_alone, bias_write}, dy, a);
  for (const auto& actual : {dweight, dweight_alone})
    expect_close("dweight", device.get_real(actual), p.expected, p.error);
  for (const auto& actual : {dbias, dbias_alone})
    expect_close("dbias", device.get_real(actual), sums.value, sums.error);
}

TEST(LinearProductsTest, GradientsOfWeightAndBiasAgreeWithPlainLoops) {
  expect_gradients<float>(kOverwrite, kOverwrite, 0);
  expect_gradients<bf16>(kOverwrite, kAccumulate, 0);
  expect_gradients<bf16>(kAccumulate, kOverwrite, 1);
  expect_gradients<bf16>(kAccumulate, kAccumulate, 0);
}

// On the host both passes take the same steps; that the memory of a library's call was counted
// shows on a device.
TEST(LinearProductsTest, CountingNotesTheStepsAndTakesEnoughMemory) {
  constexpr std::int64_t kRows = 300, kOut = 48, kIn = 32;
  Device device;
  const auto numbers = device.put_real<bf16>(random_reals(1, kRows * kOut));
  const auto results = device.arena().take1<bf16>(2 * kRows * kOut);
  const auto gradients = device.arena().take1<float>(kOut * (kIn + 1));
  // Addresses are of no account in a pass that counts.
  const auto run = [&](const Exec& exec) {
    const Tensor1<float> dbias(gradients.data() + kOut * kIn, kOut);
    const Tensor2<bf16> dx(results.data(), kRows, kOut),
        x(results.data() + kRows * kOut, kRows, kOut);
    const Tensor2<const bf16> dy(numbers.data(), kRows, kIn), weight(numbers.data(), kIn, kOut);
    const BiasGradient left = matmul_through_activation<bf16>(exec, Activation::kGeluTanh, dx, x,
                                                              {dbias, kAccumulate}, dy, weight, x);
    exec.arena->take_high_water();
    const auto before = exec.arena->used_bytes();
    matmul_gradients<bf16>(exec, Tensor2<float>(gradients.data(), kOut, kIn), kAccumulate, left, dx,
                           dy);
    return exec.arena->take_high_water() - before;
  };
  Arena counting;
  const WorkCount count;
  const std::size_t planned = run({Space(), &counting});
  // Two products and the slope, on the host with the sums of its blocks; on a device the slope goes
  // with one product and the sums with the other, and the activation is run again.
  EXPECT_EQ(count.work().num_kernels, kOnHost ? 4 : 3);
  EXPECT_EQ(count.work().products.size(), 2U);
  EXPECT_LE(run(device.exec()), planned);
}

}  // namespace
}  // namespace polyphase::test
