// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.hpp"

#include "kernels/attention_portable.hpp"
#include "kernels/device.hpp"
#include "reference/attention.hpp"

namespace polyphase::test {
namespace {

using reference::Attention;

struct AttentionCase {
  std::vector<std::int32_t> starts;
  std::int64_t num_rows;
  std::int64_t num_heads = 2, head_width = 8, first_head = 0;
  bool causal = false;
  double rate = 0.0;
};

template <class Real>
Attention make(const AttentionCase& c) {
  Attention a;
  a.starts = c.starts, a.num_rows = c.num_rows;
  a.num_heads = c.num_heads, a.head_width = c.head_width, a.first_head = c.first_head;
  a.causal = c.causal, a.rate = c.rate, a.key = 17;
  for (std::int64_t n = 0; n < c.num_rows; ++n) a.row_ids.push_back((5 << 16) + 3 * n);
  a.qkv = random_reals(1, c.num_rows * 3 * a.width());
  a.dout = random_reals(2, c.num_rows * a.width());
  a.precision = {kFloatEpsilon, kStoreError<Real>};
  return a;
}

// The rows behind the last sequence hold NaNs in the inputs: nothing may read them.
template <class Real>
std::vector<double> with_poisoned_padding(std::vector<double> x, const Attention& a) {
  const std::int64_t width = static_cast<std::int64_t>(x.size()) / a.num_rows;
  for (std::size_t i = a.starts.back() * width; i < x.size(); ++i) x[i] = std::nan("");
  return x;
}

struct Results {
  std::vector<double> out, log_sum, dqkv;
};

enum class Implementation { kFast, kPortable };

Sequences sequences_of(Device& device, const std::vector<std::int32_t>& starts) {
  Sequences sequences{starts, device.put(starts), 0};
  for (std::size_t b = 0; b + 1 < starts.size(); ++b) {
    sequences.max_tokens = std::max<std::int64_t>(sequences.max_tokens, starts[b + 1] - starts[b]);
  }
  return sequences;
}

template <class Real>
Results run(const Attention& a, Implementation which) {
  Device device;
  const Exec exec = device.exec();
  const Sequences sequences = sequences_of(device, a.starts);
  const AttentionShape shape{a.num_heads, a.head_width, a.first_head, a.causal};
  const Dropout dropout{a.key, static_cast<float>(a.rate), device.put(a.row_ids)};
  const Tensor2<const Real> qkv =
      device.put_real<Real>(with_poisoned_padding<Real>(a.qkv, a), a.num_rows, 3 * a.width());
  const Tensor2<const Real> dout =
      device.put_real<Real>(with_poisoned_padding<Real>(a.dout, a), a.num_rows, a.width());
  const auto out = device.arena().take2<Real>(a.num_rows, a.width());
  const auto log_sum = device.arena().take2<float>(a.num_rows, a.num_heads);
  const auto dqkv = device.arena().take2<Real>(a.num_rows, 3 * a.width());
  if (which == Implementation::kFast) {
    attention_forward<Real>(exec, out, log_sum, qkv, sequences, shape, dropout);
    attention_backward<Real>(exec, dqkv, dout, out, log_sum, qkv, sequences, shape, dropout);
  } else {
    attention_forward_portable<Real>(exec, out, log_sum, qkv, sequences, shape, dropout);
    attention_backward_portable<Real>(exec, dqkv, dout, out, log_sum, qkv, sequences, shape,
                                      dropout);
  }
  return {device.get_real(out), device.get_real(log_sum), device.get_real(dqkv)};
}

const AttentionCase kCases[] = {
    {.starts = {0, 1}, .num_rows = 1},
    {.starts = {0, 1, 1, 6, 23}, .num_rows = 32, .num_heads = 3, .head_width = 5},
    {.starts = {0, 16, 47}, .num_rows = 48, .head_width = 32, .first_head = 4, .rate = 0.1},
    {.starts = {0, 15, 79}, .num_rows = 96, .head_width = 24, .causal = true},
    {.starts = {0, 65, 73}, .num_rows = 80, .head_width = 64, .causal = true, .rate = 0.3},
    {.starts = {0, 150}, .num_rows = 150, .num_heads = 1, .head_width = 33, .rate = 0.1},
};

template <class Real>
class AttentionTest : public testing::Test {};
using Reals = testing::Types<float, bf16>;
TYPED_TEST_SUITE(AttentionTest, Reals);

template <class Real>
void expect_as_reference(const Attention& a, const Results& actual) {
  const auto forward = a.forward();
  const auto backward = a.backward();
  expect_close("out", actual.out, forward.out.value, forward.out.error);
  expect_close("log_sum", actual.log_sum, forward.log_sum.value, forward.log_sum.error);
  expect_close("dqkv", actual.dqkv, backward.value, backward.error);
}

TYPED_TEST(AttentionTest, AgreesWithPlainLoops) {
  for (const AttentionCase& c : kCases) {
    SCOPED_TRACE(testing::Message() << "width " << c.head_width);
    const Attention a = make<TypeParam>(c);
    expect_as_reference<TypeParam>(a, run<TypeParam>(a, Implementation::kFast));
  }
}

TYPED_TEST(AttentionTest, PortableImplementationAgreesWithPlainLoops) {
  for (const AttentionCase& c : kCases) {
    SCOPED_TRACE(testing::Message() << "width " << c.head_width);
    const Attention a = make<TypeParam>(c);
    expect_as_reference<TypeParam>(a, run<TypeParam>(a, Implementation::kPortable));
  }
}

TYPED_TEST(AttentionTest, PaddingRowsGetZeros) {
  const Attention a = make<TypeParam>({.starts = {0, 5, 9}, .num_rows = 16});
  const Results results = run<TypeParam>(a, Implementation::kFast);
  const auto expect_zeros = [&](const std::vector<double>& x) {
    const std::size_t first = 9 * x.size() / 16;
    EXPECT_EQ(std::vector<double>(x.begin() + first, x.end()),
              std::vector<double>(x.size() - first, 0.0));
  };
  expect_zeros(results.out);
  expect_zeros(results.log_sum);
  expect_zeros(results.dqkv);
}

// Scores near +-1e4 overflow exp unless the largest is taken off first.
TYPED_TEST(AttentionTest, LargeScoresStayFinite) {
  Attention a = make<TypeParam>({.starts = {0, 20}, .num_rows = 20});
  for (double& x : a.qkv) x *= 64.0;
  for (const double x : run<TypeParam>(a, Implementation::kFast).out) EXPECT_TRUE(std::isfinite(x));
}

TYPED_TEST(AttentionTest, NaNsInASequenceAreSeenThereAndNowhereElse) {
  Attention a = make<TypeParam>({.starts = {0, 4, 8}, .num_rows = 8});
  a.qkv[a.at(1, 1, 0, 0)] = std::nan("");
  const Results results = run<TypeParam>(a, Implementation::kFast);
  EXPECT_TRUE(std::isnan(results.out[0]));
  for (std::int64_t i = 4 * a.width(); i < 8 * a.width(); ++i)
    EXPECT_TRUE(std::isfinite(results.out[i]));
}

TEST(AttentionReferenceTest, GradientIsThatOfCentralDifferences) {
  Attention a = make<float>(
      {.starts = {0, 3, 10}, .num_rows = 12, .head_width = 4, .causal = true, .rate = 0.25});
  const auto backward = a.backward();
  for (std::size_t i = 0; i < a.qkv.size(); i += 3) {
    const double expected = central_difference(&a.qkv[i], [&] { return a.loss(); });
    EXPECT_NEAR(backward.value[i], expected, kDifferenceError * 10) << i;
  }
}

TEST(AttentionTestOnFloats, BackwardIsTheCentralDifferenceOfTheReference) {
  Attention a = make<float>({.starts = {0, 3, 10}, .num_rows = 12, .head_width = 4, .rate = 0.25});
  const Results results = run<float>(a, Implementation::kFast);
  const auto backward = a.backward();
  for (std::size_t i = 0; i < a.qkv.size(); i += 3) {
    const double expected = central_difference(&a.qkv[i], [&] { return a.loss(); });
    EXPECT_NEAR(results.dqkv[i], expected, backward.error[i] + kDifferenceError * 10) << i;
  }
}

// The same sequence, at another place of another micro-batch, gives the same bits.
TYPED_TEST(AttentionTest, PlaceInTheBatchChangesNoBit) {
  const Attention whole =
      make<TypeParam>({.starts = {0, 7, 77, 90}, .num_rows = 90, .head_width = 32, .rate = 0.1});
  Attention alone = whole;
  alone.starts = {0, 70}, alone.num_rows = 70;
  const auto cut = [](auto& x, std::int64_t width) {
    x.assign(x.begin() + 7 * width, x.begin() + 77 * width);
  };
  cut(alone.qkv, 3 * whole.width());
  cut(alone.dout, whole.width());
  cut(alone.row_ids, 1);
  Results expected = run<TypeParam>(whole, Implementation::kFast);
  cut(expected.out, whole.width());
  cut(expected.dqkv, 3 * whole.width());
  const Results results = run<TypeParam>(alone, Implementation::kFast);
  EXPECT_EQ(results.out, expected.out);
  EXPECT_EQ(results.dqkv, expected.dqkv);
}

// An arena of the size that counting found is enough for a real pass, and one byte less is not.
TEST(AttentionWorkspaceTest, CountingFindsThePeakOfARealPass) {
  const Attention a = make<bf16>({.starts = {0, 70}, .num_rows = 70, .head_width = 32});
  Device device;
  const Sequences sequences = sequences_of(device, a.starts);
  const AttentionShape shape{a.num_heads, a.head_width, 0, false};
  const auto qkv = device.put_real<bf16>(a.qkv, a.num_rows, 3 * a.width());
  const auto out = device.put_real<bf16>(a.dout, a.num_rows, a.width());
  const auto log_sum = device.arena().take2<float>(a.num_rows, a.num_heads);
  const auto forward_and_backward = [&](Arena& arena) {
    const Exec exec{Space(), &arena};
    attention_forward<bf16>(exec, out, log_sum, qkv, sequences, shape, {});
    attention_backward<bf16>(exec, qkv, out, out, log_sum, qkv, sequences, shape, {});
  };
  Arena counting;
  forward_and_backward(counting);
  ASSERT_GT(counting.peak_bytes(), 0U);
  EXPECT_EQ(counting.used_bytes(), 0U);
  const auto memory = device.arena().take1<std::byte>(counting.peak_bytes());
  Arena exact(memory.data(), counting.peak_bytes());
  EXPECT_NO_THROW(forward_and_backward(exact));
  Arena too_small(memory.data(), counting.peak_bytes() - 1);
  EXPECT_THROW(forward_and_backward(too_small), std::logic_error);
}

}  // namespace
}  // namespace polyphase::test
