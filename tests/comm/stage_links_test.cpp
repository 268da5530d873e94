// SPDX-License-Identifier: Apache-2.0
#include "comm/stage_links.hpp"

#include <gtest/gtest.h>

#include <utility>

#include "comm/session.hpp"
#include "kernels/elementwise.hpp"
#include "tests/comm/world.hpp"

namespace polyphase {
namespace {

using Subject = StageLinks::Subject;

// So long that no message is on its way before the other side asks for it.
constexpr std::int64_t kNumSent = 1 << 18;

float first_of(const Exec& exec, Tensor1<float> tensor) {
  float value = 0;
  copy_to_host<float>(exec, &value, Tensor1<const float>(tensor.data(), 1));
  return value;
}

// Every stage sends the next one numbers under two names, writes over them at once, and only then
// looks at what has come, the later name first.
TEST(StageLinks, WhatIsSentArrivesInOrderByNameWhateverBecomesOfIt) {
  const RankGrid grid = make_grid(*world, 1, world->size());
  const Communicator& stages = grid.pipeline;
  StageLinks links(stages);
  links.plan_messages(2);
  const StageLinks::Name rows = {Subject::kRows}, table = {Subject::kParameter, 3},
                         other = {Subject::kParameter, 4};
  const Exec exec;
  const Kokkos::View<float*, Memory> memory("sent", kNumSent);
  const Tensor1<float> tensor(memory.data(), kNumSent);
  if (stages.rank() + 1 < stages.size()) {
    for (const float number : {1.0F, 2.0F}) {
      fill(exec, tensor, number);
      links.send(exec, stages.rank() + 1, rows, tensor);
      fill(exec, tensor, 10 * number);
      links.send(exec, stages.rank() + 1, table, tensor);
      fill(exec, tensor, 20 * number);
      links.send(exec, stages.rank() + 1, other, tensor);
      fill(exec, tensor, -1.0F);
      links.poll();
    }
  }
  if (stages.rank() > 0) {
    for (const auto& [name, factor] : {std::pair{other, 20}, {table, 10}, {rows, 1}}) {
      for (const int number : {1, 2}) {
        links.receive(exec, stages.rank() - 1, name, tensor);
        EXPECT_EQ(first_of(exec, tensor), static_cast<float>(factor * number));
      }
    }
  }
}

TEST(StageLinks, AStageThatIsFarAheadWaitsAndNeedsWhatWasPlanned) {
  const RankGrid grid = make_grid(*world, 1, world->size());
  const Communicator& stages = grid.pipeline;
  constexpr std::int64_t kNumMessages = 5;
  const Exec exec;
  const Kokkos::View<float*, Memory> memory("sent", kNumSent);
  const Tensor1<float> tensor(memory.data(), kNumSent);
  for (const Subject subject : {Subject::kRows, Subject::kParameter}) {
    StageLinks links(stages);
    links.plan_messages(kNumMessages);
    const bool sends = stages.rank() + 1 < stages.size();
    if (sends) links.plan(stages.rank() + 1, {subject}, kNumSent);
    const std::int64_t most =
        subject == Subject::kRows ? StageLinks::kMostRows : std::int64_t{stages.size()};
    EXPECT_EQ(links.planned_bytes(), (sends ? 4 * most * kNumSent : 0));
    for (int number = 0; number < kNumMessages; ++number) {
      if (stages.rank() > 0) {
        links.receive(exec, stages.rank() - 1, {subject}, tensor);
        EXPECT_EQ(first_of(exec, tensor), static_cast<float>(number));
      }
      fill(exec, tensor, static_cast<float>(number));
      if (sends) links.send(exec, stages.rank() + 1, {subject}, tensor);
    }
    EXPECT_EQ(links.held_bytes(), links.planned_bytes());
  }
}

TEST(StageLinks, WhatIsSentInPlaceArrives) {
  if (world->size() == 1) GTEST_SKIP() << "needs several ranks";
  const RankGrid grid = make_grid(*world, 1, world->size());
  StageLinks links(grid.pipeline);
  const Exec exec;
  const Kokkos::View<float*, Memory> memory("sent", kNumSent);
  const Tensor1<float> tensor(memory.data(), kNumSent);
  fill(exec, tensor, static_cast<float>(world->rank()));
  for (int stage = 1; stage < world->size(); ++stage) {
    if (world->rank() == 0) links.send_in_place(exec, stage, {Subject::kParameter}, tensor);
    if (world->rank() == stage) links.receive(exec, 0, {Subject::kParameter}, tensor);
  }
  EXPECT_EQ(first_of(exec, tensor), 0.0F);
  EXPECT_EQ(links.held_bytes(), 0U);
}

}  // namespace
}  // namespace polyphase
