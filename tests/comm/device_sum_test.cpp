// SPDX-License-Identifier: Apache-2.0
#include "comm/device_sum.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/elementwise.hpp"
#include "tests/comm/world.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kNumElements = 4097;

class OnDevice {
 public:
  explicit OnDevice(const std::vector<float>& values)
      : memory_("values", values.size()), tensor_(memory_.data(), values.size()) {
    copy_to_device<float>(exec_, tensor_, values.data());
  }
  const Exec& exec() const { return exec_; }
  Tensor1<float> tensor() const { return tensor_; }
  std::vector<float> values() const {
    std::vector<float> host(tensor_.extent(0));
    copy_to_host<float>(exec_, host.data(), tensor_);
    return host;
  }

 private:
  Exec exec_;
  Kokkos::View<float*, Memory> memory_;
  Tensor1<float> tensor_;
};

std::vector<float> values_of(const Communicator& ranks) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < kNumElements; ++i)
    values.push_back(std::sin(static_cast<float>(i * 7 + ranks.rank())) *
                     std::pow(10.0F, static_cast<float>((ranks.rank() + i) % 7)));
  return values;
}

TEST(DeviceSum, HasTheBitsOfASumOnTheHost) {
  std::vector<float> expected = values_of(*world);
  world->sum(expected.data(), kNumElements);
  for (int only_on = kEveryRank; only_on < world->size(); ++only_on) {
    const OnDevice device(values_of(*world));
    DeviceSum sum(device.exec(), *world, device.tensor(), only_on);
    sum.poll();
    sum.wait();
    if (only_on == kEveryRank || only_on == world->rank()) {
      EXPECT_EQ(device.values(), expected) << only_on;
    }
  }
}

TEST(DeviceSum, ComesBehindTheKernelsBeforeItAndInFrontOfThoseBehind) {
  std::vector<float> expected(kNumElements, 2.0F);
  world->sum(expected.data(), kNumElements);
  const OnDevice device(std::vector<float>(kNumElements, 1.0F));
  for (int round = 0; round < 3; ++round) {
    fill(device.exec(), device.tensor(), 1.0F);
    scale<float>(device.exec(), device.tensor(), 2.0F);
    sum_over_ranks(device.exec(), *world, device.tensor());
    scale<float>(device.exec(), device.tensor(), 0.5F);
    for (const float value : device.values()) ASSERT_EQ(value, expected[0] / 2);
  }
}

TEST(DeviceExchange, GivesEveryRankThePartsOfTheOthers) {
  const int size = world->size();
  std::vector<std::vector<ArrayPart>> parts(static_cast<std::size_t>(size));
  for (std::int64_t i = 0; i < kNumElements; i += 100)
    parts[static_cast<std::size_t>(i / 100 % size)].push_back({i, std::min(i + 60, kNumElements)});
  std::vector<float> mine, expected;
  for (std::int64_t i = 0; i < kNumElements; ++i) {
    const auto value = [i](int rank) { return static_cast<float>(rank * 10000 + i); };
    mine.push_back(value(world->rank()));
    expected.push_back(value(i % 100 < 60 ? static_cast<int>(i / 100 % size) : world->rank()));
  }
  const OnDevice device(mine);
  exchange_parts(device.exec(), *world, device.tensor(), parts);
  EXPECT_EQ(device.values(), expected);
}

}  // namespace
}  // namespace polyphase
