// SPDX-License-Identifier: Apache-2.0
// The library that keeps host code away from tensors does so. Without the library, which ctest
// names in the environment, nothing would die.
#include <gtest/gtest.h>

#include <Kokkos_Core.hpp>
#include <csignal>

#include "base/error.hpp"
#include "kernels/copies.hpp"

namespace polyphase {
namespace {

using Floats = Kokkos::View<float*, Memory>;

// The compiler must not leave the access out.
void touch(float* element) { *static_cast<volatile float*>(element) = 1.0F; }

void expect_death_of_who_touches(std::int64_t count, const std::vector<std::int64_t>& elements) {
  const Floats view("weights of the test", count);
  for (const std::int64_t i : elements)
    EXPECT_EXIT(touch(view.data() + i), testing::KilledBySignal(SIGSEGV),
                fmt::format("byte {} of the {} of the tensors' memory \"weights of the test\"",
                            4 * i, 4 * count));
}

TEST(HostAccess, ToAnyElementOfAViewDiesAndNamesIt) {
  const Floats first("a program's first View is closed in part", 1);
  expect_death_of_who_touches(100'000, {50'000});
  // A later Kokkos may call something else than malloc: then a View has no pages of its own.
  if (KOKKOS_VERSION >= 30500) return;
  expect_death_of_who_touches(100'000, {0, 99'999});
  expect_death_of_who_touches(1024, {0, 1023});
  expect_death_of_who_touches(4, {0, 3});
}

TEST(HostAccess, BetweenKernelsIsWhatDies) {
  const Floats view("weights of the test", 2048);
  const Tensor1<float> tensor(view.data(), view.size());
  fill(Exec{}, tensor, 2.0F);
  const float sum = test::read_tensor(tensor)[2047];
  EXPECT_EQ(sum, 2.0F);
  {
    const KernelRegion region("a product, say");
    touch(view.data());
  }
  EXPECT_EXIT(touch(view.data()), testing::KilledBySignal(SIGSEGV), "weights of the test");
  EXPECT_EQ(test::read_tensor(tensor)[0], 1.0F);
}

// Closed are the first times behind each place, however often others have been passed.
TEST(HostAccess, BehindANewPlaceDiesAfterThousandsOfKernels) {
  const Floats view("weights of the test", 2048);
  const Tensor1<float> tensor(view.data(), view.size());
  for (int i = 0; i < 3000; ++i) fill(Exec{}, tensor, 1.0F);
  fill(Exec{}, tensor, 2.0F);
  EXPECT_EXIT(touch(view.data()), testing::KilledBySignal(SIGSEGV), "weights of the test");
}

TEST(HostAccess, ToOtherMemoryIsAnOrdinaryFault) {
  EXPECT_EXIT(touch(nullptr), testing::KilledBySignal(SIGSEGV), "^$");
}

}  // namespace
}  // namespace polyphase
