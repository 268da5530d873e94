// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <Kokkos_Core.hpp>

namespace {

class KokkosEnvironment : public testing::Environment {
 public:
  void SetUp() override { Kokkos::initialize(); }
  void TearDown() override { Kokkos::finalize(); }
};

// GoogleTest owns it and runs it around all tests of the program.
[[maybe_unused]] const auto* const environment =
    testing::AddGlobalTestEnvironment(new KokkosEnvironment);

}  // namespace
