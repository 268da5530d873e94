// SPDX-License-Identifier: Apache-2.0
// The program that tensor cores run, run by an emulation of them.
#include "kernels/attention_fixture.hpp"
#include "kernels/attention_tiles_run.hpp"
#include "kernels/emulated_warps.hpp"

namespace polyphase::test {
namespace {

namespace tiles = attention_tiles;

template <int kWidth>
struct Emulation {
  // As much as a launch asks for; a sanitizer sees what goes beyond.
  std::vector<bf16> shared;
  EmulatedWarps machine;

  explicit Emulation(tiles::Kernel kernel)
      : shared(tiles::shared_bytes<kWidth>(kernel) / sizeof(bf16), from_float<bf16>(NAN)) {}
  bf16* memory() { return shared.data(); }
  void run(tiles::Kernel, const tiles::Forward& pass, std::int64_t block, std::int64_t head) {
    tiles::forward_block<kWidth>(machine, pass, memory(), block, head);
  }
  void run(tiles::Kernel kernel, const tiles::Backward& pass, std::int64_t block,
           std::int64_t head) {
    if (kernel == tiles::Kernel::kQueryGradient) {
      tiles::query_block<kWidth>(machine, pass, memory(), block, head);
    } else {
      tiles::key_block<kWidth>(machine, pass, memory(), block, head);
    }
  }
};

// Every block on every head, as a launch would have it.
struct EmulatedLaunch {
  template <class Pass>
  void operator()(tiles::Kernel kernel, const Pass& pass, std::int64_t num_blocks,
                  std::int64_t num_heads) const {
    const std::int64_t width = pass.call.head_width;
    const auto all = [&](auto emulation) {
      for (std::int64_t block = 0; block < num_blocks; ++block) {
        for (std::int64_t head = 0; head < num_heads; ++head)
          emulation.run(kernel, pass, block, head);
      }
    };
    if (width <= 32) return all(Emulation<32>(kernel));
    if (width <= 64) return all(Emulation<64>(kernel));
    all(Emulation<128>(kernel));
  }
};

void forward(const Exec& exec, Tensor2<bf16> out_NC, Tensor2<float> log_sum_NH,
             const AttentionInput<bf16>& input, const Dropout& dropout) {
  tiles::run_forward(exec, out_NC, log_sum_NH, input, dropout, EmulatedLaunch());
}

void backward(const Exec& exec, HeadColumns<bf16> dquery, HeadColumns<bf16> dkey,
              HeadColumns<bf16> dvalue, Tensor2<float> dpositions_UH, Write positions_write,
              Tensor2<const bf16> dout_NC, Tensor2<const bf16> out_NC,
              Tensor2<const float> log_sum_NH, const AttentionInput<bf16>& input,
              const Dropout& dropout) {
  tiles::run_backward(exec, dquery, dkey, dvalue, dpositions_UH, positions_write, dout_NC, out_NC,
                      log_sum_NH, input, dropout, EmulatedLaunch());
}

const AttentionCase kCases[] = {
    {.starts = {0, 1}, .num_rows = 1},
    {.starts = {0, 1, 1, 6, 23}, .num_rows = 32, .num_heads = 3, .head_width = 5},
    {.starts = {0, 65, 73}, .num_rows = 80, .head_width = 64, .causal = true, .rate = 0.3},
    {.starts = {0, 150}, .num_rows = 216, .num_heads = 1, .head_width = 33, .rate = 0.1},
    {.starts = {0, 100},
     .num_rows = 100,
     .num_heads = 1,
     .head_width = 128,
     .causal = true,
     .rate = 0.2},
    // Queries of groups of heads to another tensor's keys, a prefix, positions, empty sequences.
    {.starts = {0, 9, 80, 80, 86},
     .num_rows = 96,
     .num_heads = 4,
     .head_width = 24,
     .first_head = 8,
     .causal = true,
     .rate = 0.1,
     .num_key_heads = 2,
     .key_starts = {0, 20, 90, 93, 93},
     .num_key_rows = 160,
     .prefix = {3, 70, 9, 0},
     .num_buckets = 8,
     .bidirectional = false,
     .max_distance = 20.0},
    // Causal queries that see nothing.
    {.starts = {0, 3, 3, 12, 18},
     .num_rows = 20,
     .causal = true,
     .key_starts = {0, 4, 9, 9, 12},
     .num_key_rows = 16}};

TEST(AttentionTilesTest, EmulatedTensorCoresAgreeWithPlainLoops) {
  for (const AttentionCase& c : kCases) {
    SCOPED_TRACE(testing::Message() << "width " << c.head_width << ", " << c.num_rows << " rows");
    const Attention a = make<bf16>(c);
    AttentionOnDevice<bf16> on_device(a);
    expect_as_reference(a, on_device.run(forward, backward));
    EXPECT_TRUE(on_device.left_the_rest_alone());
  }
}

// Keys of a cache: rows between the sequences belong to none, and lie in tiles with those that do.
TEST(AttentionTilesTest, RoomBetweenSequencesOfKeysChangesNoBit) {
  AttentionOnDevice<bf16> on_device(make<bf16>({.starts = {0, 1, 70, 70, 73},
                                                .num_rows = 73,
                                                .head_width = 24,
                                                .causal = true,
                                                .key_starts = {0, 66, 135, 140, 143},
                                                .num_key_rows = 143}));
  const auto expected = on_device.output(forward, on_device.input());
  EXPECT_EQ(on_device.output(forward, on_device.input_with_room(75)), expected);
  for (const double x : expected) EXPECT_TRUE(std::isfinite(x));
}

TEST(AttentionTilesTest, NaNsInASequenceAreSeenThereAndNowhereElse) {
  Attention a = make<bf16>({.starts = {0, 4, 8}, .num_rows = 8});
  a.k[a.key_at(1, 0, 0)] = std::nan("");
  const Results results = AttentionOnDevice<bf16>(a).run(forward, backward);
  EXPECT_TRUE(std::isnan(results.out[0]));
  for (std::int64_t i = 4 * a.width(); i < 8 * a.width(); ++i)
    EXPECT_TRUE(std::isfinite(results.out[i]));
}

}  // namespace
}  // namespace polyphase::test
