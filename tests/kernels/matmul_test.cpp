// SPDX-License-Identifier: Apache-2.0
#include "kernels/matmul.hpp"

#include <array>

#include "kernels/matmul_float.hpp"
#include "kernels/product_fixture.hpp"

namespace polyphase::test {
namespace {

enum class Way { kLibrary, kInFloat, kPacked };

template <class In, class Out>
std::vector<double> run(Device& device, const ProductCase& c, const Product& p, Way way) {
  const bool ta = c.op_a == Transpose::kYes, tb = c.op_b == Transpose::kYes;
  const Tensor2<const In> a = device.put_real<In>(p.a, ta ? c.k : c.m, ta ? c.m : c.k);
  const Tensor2<const In> b = device.put_real<In>(p.b, tb ? c.n : c.k, tb ? c.k : c.n);
  const Tensor1<const float> bias = device.put_real<float>(p.bias);
  const auto y = c.write == Write::kAccumulate ? device.put_real<Out>(p.y, c.m, c.n)
                                               : device.arena().take2<Out>(c.m, c.n);
  if (way == Way::kLibrary) {
    matmul<In, Out>(device.exec(), y, a, c.op_a, b, c.op_b, c.write, bias);
  } else if (way == Way::kPacked) {
    // Packed for another number of rows than it is used with.
    const Tensor2<const float> w = device.put_real<float>(p.b, tb ? c.n : c.k, tb ? c.k : c.n);
    const PackedWeight packed = pack_weight<In>(device.exec(), w, c.op_b, 64);
    matmul<In, Out>(device.exec(), y, a, c.op_a, packed, c.write, bias);
  } else {
    matmul_in_float<In, Out>(device.exec(), y, a, c.op_a, b, c.op_b, c.write, bias);
  }
  return device.get_real(y);
}

template <class In_, class Out_>
struct Types {
  using In = In_;
  using Out = Out_;
};

template <class T>
class MatmulTest : public testing::Test {
 protected:
  using In = typename T::In;
  using Out = typename T::Out;

  void expect_product(const ProductCase& c, Way way = Way::kLibrary) {
    SCOPED_TRACE(testing::Message() << c.m << "x" << c.n << "x" << c.k << " transposed "
                                    << (c.op_a == Transpose::kYes) << (c.op_b == Transpose::kYes));
    const Product p(c, kStoreError<Out>);
    expect_close("y", run<In, Out>(device_, c, p, way), p.expected, p.error);
  }

  Device device_;
};

using AllTypes =
    testing::Types<Types<float, float>, Types<float, bf16>, Types<bf16, float>, Types<bf16, bf16>>;
TYPED_TEST_SUITE(MatmulTest, AllTypes);

constexpr std::array<Transpose, 2> kBoth{kNo, kYes};

TYPED_TEST(MatmulTest, EveryTransposeBiasAndWriteAgreesWithPlainLoops) {
  for (const Transpose op_a : kBoth) {
    for (const Transpose op_b : kBoth) {
      for (const Write write : {Write::kOverwrite, Write::kAccumulate}) {
        this->expect_product({48, 32, 80, op_a, op_b, false, write});
        this->expect_product({17, 5, 33, op_a, op_b, true, write});
      }
    }
  }
}

TYPED_TEST(MatmulTest, SingleRowsAndColumnsAgreeWithPlainLoops) {
  this->expect_product({1, 7, 19});
  this->expect_product({9, 1, 64, kYes, kNo});
  this->expect_product({3, 4, 1, kNo, kYes, true});
}

// What a generation multiplies, which a kernel of our own does.
TYPED_TEST(MatmulTest, FewRowsAgreeWithPlainLoops) {
  for (const std::int64_t m : {1, 2, 7, 16}) {
    this->expect_product({m, 6, 96, kNo, kYes});
    this->expect_product({m, 1, 33, kNo, kYes, true});
    this->expect_product({m, 203, 771, kNo, kYes, true, Write::kAccumulate});
  }
}

TYPED_TEST(MatmulTest, EmptySumIsZeroOrTheBias) {
  this->expect_product({5, 6, 0});
  this->expect_product({5, 6, 0, kNo, kNo, true});
  this->expect_product({5, 6, 0, kNo, kYes, true, Write::kAccumulate});
  this->expect_product({5, 6, 0, kNo, kNo, false, Write::kAccumulate});
}

TYPED_TEST(MatmulTest, EmptyResultIsNoError) {
  this->expect_product({0, 6, 4});
  this->expect_product({6, 0, 4, kYes, kYes, true});
}

TYPED_TEST(MatmulTest, ProductInFloatAgreesWithPlainLoops) {
  this->expect_product({17, 5, 33, kYes, kNo, true, Write::kAccumulate}, Way::kInFloat);
  this->expect_product({48, 32, 80, kNo, kYes}, Way::kInFloat);
}

TYPED_TEST(MatmulTest, PackedWeightGivesTheSameProduct) {
  for (const Transpose op_b : kBoth) {
    this->expect_product({64, 96, 80, kNo, op_b, true}, Way::kPacked);
    this->expect_product({17, 5, 33, kYes, op_b, true, Write::kAccumulate}, Way::kPacked);
    this->expect_product({5, 6, 0, kNo, op_b, true}, Way::kPacked);
    this->expect_product({0, 6, 4, kNo, op_b}, Way::kPacked);
  }
}

// Weight gradients, which tiles of our own may multiply.
TYPED_TEST(MatmulTest, ProductsOverRowsAgreeWithPlainLoops) {
  this->expect_product({512, 32, 40, kYes, kNo});
  this->expect_product({16, 1024, 33, kYes, kNo, false, Write::kAccumulate});
  this->expect_product({512, 512, 9, kYes, kNo});
}

TYPED_TEST(MatmulTest, SecondCallAtOtherAddressesUsesThem) {
  const ProductCase c{8, 8, 8};
  this->expect_product(c);
  this->expect_product(c);
}

// Inside a parallel region every thread multiplies alone, with an arena of its own.
class MatmulInParallelTest : public testing::TestWithParam<ProductCase> {};

TEST_P(MatmulInParallelTest, EveryThreadGetsItsOwnProduct) {
  constexpr std::int64_t kProducts = 8;
  const ProductCase c = GetParam();
  const Product p(c, kStoreError<float>);
  Device device;
  const Tensor2<const bf16> a =
      device.put_real<bf16>(p.a, c.op_a == kNo ? c.m : c.k, c.op_a == kNo ? c.k : c.m);
  const Tensor2<const bf16> b =
      device.put_real<bf16>(p.b, c.op_b == kNo ? c.k : c.n, c.op_b == kNo ? c.n : c.k);
  const auto all = device.arena().take2<float>(kProducts * c.m, c.n);
  constexpr std::int64_t kScratchBytes = 1 << 20;
  const auto scratch = device.arena().take1<std::byte>(kProducts * kScratchBytes);
  Kokkos::parallel_for(
      "products", Kokkos::RangePolicy<Kokkos::DefaultHostExecutionSpace>(0, kProducts),
      [&](std::int64_t i) {
        Arena arena(scratch.data() + i * kScratchBytes, kScratchBytes);
        matmul<bf16, float>(Exec{Space(), &arena}, rows(all, i * c.m, c.m), a, c.op_a, b, c.op_b);
      });
  for (std::int64_t i = 0; i < kProducts; ++i) {
    expect_close("y", device.get_real(rows(all, i * c.m, c.m)), p.expected, p.error);
  }
}

INSTANTIATE_TEST_SUITE_P(Forward, MatmulInParallelTest,
                         testing::Values(ProductCase{33, 16, 20, kNo, kYes}));
INSTANTIATE_TEST_SUITE_P(OverRows, MatmulInParallelTest,
                         testing::Values(ProductCase{512, 16, 20, kYes, kNo}));

TEST(MatmulContractTest, ExtentsThatDoNotFitAreABrokenPromise) {
  Device device;
  const auto y = device.arena().take2<float>(4, 5);
  const Tensor2<const float> a = device.arena().take2<float>(4, 3),
                             b = device.arena().take2<float>(2, 5);
  EXPECT_THROW((matmul<float, float>(device.exec(), y, a, kNo, b, kNo)), std::logic_error);
  const Tensor2<const float> fits = device.arena().take2<float>(3, 5);
  const Tensor1<const float> bias = device.arena().take1<float>(4);
  EXPECT_THROW((matmul<float, float>(device.exec(), y, a, kNo, fits, kNo, Write::kOverwrite, bias)),
               std::logic_error);
}

TEST(MatmulContractTest, CountingDoesNoArithmeticAndGivesMemoryBack) {
  Arena counting;
  const Exec exec{Space(), &counting};
  const Tensor2<const bf16> x(nullptr, 64, 32), w(nullptr, 48, 32);
  matmul<bf16, bf16>(exec, Tensor2<bf16>(nullptr, 64, 48), x, kNo, w, kYes);
  EXPECT_EQ(counting.used_bytes(), 0U);
}

}  // namespace
}  // namespace polyphase::test
