// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <Kokkos_Core.hpp>

#include "comm/session.hpp"
#include "optimizer/test_world.hpp"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const polyphase::MpiSession session(&argc, &argv);
  const Kokkos::ScopeGuard kokkos(argc, argv);
  polyphase::test_world = &session.world();
  std::int64_t failed = RUN_ALL_TESTS();
  session.world().max(&failed, 1);  // the exit code is collective
  return static_cast<int>(failed);
}
