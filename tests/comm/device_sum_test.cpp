// SPDX-License-Identifier: Apache-2.0
#include "comm/device_sum.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "comm/session.hpp"
#include "kernels/elementwise.hpp"
#include "tests/comm/world.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kNumElements = 4097;

template <class Real>
class OnDevice {
 public:
  explicit OnDevice(const std::vector<Real>& values)
      : memory_("values", values.size()), tensor_(memory_.data(), values.size()) {
    copy_to_device<Real>(exec_, tensor_, values.data());
  }
  const Exec& exec() const { return exec_; }
  Tensor1<Real> tensor() const { return tensor_; }
  std::vector<Real> values() const {
    std::vector<Real> host(tensor_.extent(0));
    copy_to_host<Real>(exec_, host.data(), tensor_);
    return host;
  }

 private:
  Exec exec_;
  Kokkos::View<Real*, Memory> memory_;
  Tensor1<Real> tensor_;
};

std::vector<float> values_of(const Communicator& ranks) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < kNumElements; ++i)
    values.push_back(std::sin(static_cast<float>(i * 7 + ranks.rank())) *
                     std::pow(10.0F, static_cast<float>((ranks.rank() + i) % 7)));
  return values;
}

// All ranks, as a group that ends before Kokkos does: what it keeps on a device must not outlive
// that.
Communicator all_ranks() { return make_grid(*world, 1).data; }

TEST(DeviceSum, HasTheBitsOfASumOnTheHost) {
  const Communicator ranks = all_ranks();
  std::vector<float> expected = values_of(*world);
  world->sum(expected.data(), kNumElements);
  for (int only_on = kEveryRank; only_on < world->size(); ++only_on) {
    const OnDevice<float> device(values_of(*world));
    DeviceSum sum(device.exec(), ranks, device.tensor(), only_on);
    sum.poll();
    sum.wait();
    if (only_on == kEveryRank || only_on == world->rank()) {
      EXPECT_EQ(device.values(), expected) << only_on;
    }
  }
}

TEST(DeviceSum, ComesBehindTheKernelsBeforeItAndInFrontOfThoseBehind) {
  const Communicator ranks = all_ranks();
  std::vector<float> expected(kNumElements, 2.0F);
  world->sum(expected.data(), kNumElements);
  const OnDevice<float> device(std::vector<float>(kNumElements, 1.0F));
  for (int round = 0; round < 3; ++round) {
    fill(device.exec(), device.tensor(), 1.0F);
    scale<float>(device.exec(), device.tensor(), 2.0F);
    sum_over_ranks(device.exec(), ranks, device.tensor());
    scale<float>(device.exec(), device.tensor(), 0.5F);
    EXPECT_EQ(device.values(), std::vector<float>(kNumElements, expected[0] / 2));
  }
}

// `exchange` gives elements in front of some end, all if it is kNumElements.
template <class Real, class Exchange>
void expect_exchanged(const Communicator& ranks, const Exchange& exchange) {
  const int size = ranks.size();
  std::vector<std::vector<ArrayPart>> parts(static_cast<std::size_t>(size));
  for (std::int64_t i = 0; i < kNumElements; i += 100)
    parts[static_cast<std::size_t>(i / 100 % size)].push_back({i, std::min(i + 60, kNumElements)});
  std::vector<Real> mine, expected;
  for (std::int64_t i = 0; i < kNumElements; ++i) {
    // A bf16 holds whole numbers up to 256.
    const auto value = [i](int rank) {
      return from_float<Real>(static_cast<float>(rank * 60 + i % 60));
    };
    mine.push_back(value(ranks.rank()));
    expected.push_back(value(i % 100 < 60 ? static_cast<int>(i / 100 % size) : ranks.rank()));
  }
  const OnDevice<Real> device(mine);
  exchange(device, parts, [&](std::int64_t end) {
    const std::vector<Real> got = device.values();
    for (std::int64_t i = 0; i < end; ++i)
      EXPECT_EQ(to_float(got[static_cast<std::size_t>(i)]),
                to_float(expected[static_cast<std::size_t>(i)]))
          << i << " of " << end;
  });
}

template <class Real>
void expect_exchanged_at_once() {
  const Communicator ranks = all_ranks();
  expect_exchanged<Real>(ranks, [&](const auto& device, const auto& parts, const auto& expect) {
    exchange_parts(device.exec(), ranks, device.tensor(), parts);
    expect(kNumElements);
  });
}

TEST(DeviceExchange, GivesEveryRankThePartsOfTheOthers) { expect_exchanged_at_once<float>(); }
TEST(DeviceExchange, TakesBf16) { expect_exchanged_at_once<bf16>(); }

TEST(PartsExchange, GivesWhatLiesInFrontFirstBesideOtherSums) {
  const Communicator ranks = all_ranks();
  expect_exchanged<float>(ranks, [&](const auto& device, const auto& parts, const auto& expect) {
    const OnDevice<float> other(std::vector<float>(kNumElements, 1.0F));
    // The first of each makes what devices keep of the group, for which every rank must come.
    sum_over_ranks(other.exec(), ranks, other.tensor());
    PartsExchange(other.exec(), ranks, other.tensor(), parts).wait_for(kNumElements);
    // Rank 0 has the first part, and need not wait for others, who do not send yet.
    if (ranks.rank() > 0) ranks.barrier();
    PartsExchange exchange(device.exec(), ranks, device.tensor(), parts);
    if (ranks.rank() == 0) {
      exchange.wait_for(60);
      EXPECT_EQ(exchange.done(), ranks.size() == 1);
      ranks.barrier();
      exchange.wait_for(300);
    }
    // Ranks come to what they wait for at different times, with other sums between them.
    sum_over_ranks(other.exec(), ranks, other.tensor());
    for (const std::int64_t end :
         {std::int64_t{0}, std::int64_t{1}, std::int64_t{2060}, std::int64_t{2061}, kNumElements}) {
      exchange.wait_for(end);
      expect(end);
    }
    EXPECT_TRUE(exchange.done());
    exchange.wait_for(kNumElements);
    EXPECT_EQ(other.values().back(), static_cast<float>(ranks.size() * ranks.size()));
  });
}

TEST(PartsExchange, IsDoneWhenItIsForgotten) {
  const Communicator ranks = all_ranks();
  expect_exchanged<float>(ranks, [&](const auto& device, const auto& parts, const auto& expect) {
    PartsExchange(device.exec(), ranks, device.tensor(), parts);
    expect(kNumElements);
  });
}

TEST(PiecesFromFront, AreSmallInAllAndFewOfALargeArray) {
  const auto pieces = pieces_from_front({{{10, 30}, {(3 << 20) + 5, (4 << 20) + 6}}, {{30, 31}}});
  ASSERT_EQ(pieces.size(), 4U);
  EXPECT_EQ(pieces[1].owner, 1);
  EXPECT_EQ(pieces[3].part.begin, (4 << 20) + 5);
  EXPECT_EQ(pieces[3].part.end, (4 << 20) + 6);
  EXPECT_LE(pieces_from_front({{{0, std::int64_t{1} << 35}}}).size(), 256U);
}

TEST(DeviceSumOfParts, HasTheBitsOfASumOnTheHost) {
  const Communicator ranks = all_ranks();
  std::vector<float> expected = values_of(ranks);
  world->sum(expected.data(), kNumElements);
  std::vector<ArrayPart> parts;  // of uneven sizes, rank 0 has none
  for (int r = 0; r < ranks.size(); ++r) {
    const std::int64_t begin = r == 0 ? 0 : parts.back().end;
    parts.push_back({begin, r + 1 == ranks.size() ? kNumElements : begin + 700 * r});
  }
  const OnDevice<float> device(values_of(ranks));
  sum_parts(device.exec(), ranks, device.tensor(), parts);
  const std::vector<float> got = device.values();
  const ArrayPart mine = parts[static_cast<std::size_t>(ranks.rank())];
  for (std::int64_t i = mine.begin; i < mine.end; ++i)
    EXPECT_EQ(got[static_cast<std::size_t>(i)], expected[static_cast<std::size_t>(i)]) << i;
}

}  // namespace
}  // namespace polyphase
