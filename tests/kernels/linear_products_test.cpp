// SPDX-License-Identifier: Apache-2.0
#include "kernels/linear_products.hpp"

#include <type_traits>

#include "kernels/product_fixture.hpp"
#include "reference/row_kernels.hpp"

namespace polyphase::test {
namespace {

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

}  // namespace
}  // namespace polyphase::test
