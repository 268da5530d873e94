// SPDX-License-Identifier: Apache-2.0
#include "comm/stage_links.hpp"

#include <gtest/gtest.h>

#include <vector>

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

// Every stage sends the next one numbers under two subjects, writes over them at once, and only
// then looks at what has come, the later subject first.
TEST(StageLinks, WhatIsSentArrivesInOrderBySubjectWhateverBecomesOfIt) {
  const RankGrid grid = make_grid(*world, 1, world->size());
  const Communicator& stages = grid.pipeline;
  StageLinks links(stages);
  const Exec exec;
  const Kokkos::View<float*, Memory> memory("sent", kNumSent);
  const Tensor1<float> tensor(memory.data(), kNumSent);
  if (stages.rank() + 1 < stages.size()) {
    for (const float number : {1.0F, 2.0F, 3.0F}) {
      fill(exec, tensor, number);
      links.send(exec, stages.rank() + 1, Subject::kRows, tensor);
      fill(exec, tensor, 10 * number);
      links.send(exec, stages.rank() + 1, Subject::kParameters, tensor);
      fill(exec, tensor, -1.0F);
      links.poll();
    }
  }
  if (stages.rank() > 0) {
    for (const Subject subject : {Subject::kParameters, Subject::kRows}) {
      for (const float number : {1.0F, 2.0F, 3.0F}) {
        links.receive(exec, stages.rank() - 1, subject, tensor);
        EXPECT_EQ(first_of(exec, tensor), subject == Subject::kRows ? number : 10 * number);
      }
    }
  }
  links.finish();
}

}  // namespace
}  // namespace polyphase
