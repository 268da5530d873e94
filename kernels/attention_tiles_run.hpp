// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/attention_tiles_backward.hpp"
#include "kernels/attention_tiles_forward.hpp"

// What is done around the blocks of attention in tiles, for whoever runs them: run(kernel, pass,
// blocks, heads) has every block run on every head.
namespace polyphase::attention_tiles {

inline constexpr std::int64_t kWidestHead = 128;

enum class Kernel { kForward, kQueryGradient, kKeyGradient };

template <int kWidth>
constexpr std::size_t shared_bytes(Kernel kernel) {
  return kernel == Kernel::kKeyGradient
             ? shared_bytes<kWidth>(2, Tile<kWidth>::kKeyStep)
             : shared_bytes<kWidth>(kernel == Kernel::kForward ? 1 : 2, Tile<kWidth>::kStep);
}

// Whether 16 bytes can be read at a time, from the first column of every head on.
template <class Real>
bool is_wide(const HeadColumns<Real>& x, std::int64_t head_width) {
  return reinterpret_cast<std::uintptr_t>(x.rows.data()) % sizeof(Chunk) == 0 &&
         x.row_stride() % 8 == 0 && x.first_column % 8 == 0 && head_width % 8 == 0;
}
inline bool is_wide(const AttentionInput<bf16>& input) {
  const std::int64_t width = input.shape.head_width;
  return is_wide(input.query, width) && is_wide(input.key, width) && is_wide(input.value, width);
}

inline Blocks blocks_of(const Sequences& sequences, std::int64_t num_rows) {
  return {sequences.num_sequences(), (sequences.max_tokens + kRows - 1) / kRows, num_rows,
          sequences.starts_host.back()};
}

template <class Run, class Pass>
void start(const Exec& exec, const Run& run, Kernel kernel, const Pass& pass, const Blocks& blocks,
           std::int64_t num_heads) {
  if (exec.counting()) return note_start(exec);
  run(kernel, pass, blocks.count(), num_heads);
}

template <class Run>
void run_forward(const Exec& exec, Tensor2<bf16> out_NC, Tensor2<float> log_sum_NH,
                 const AttentionInput<bf16>& input, const Dropout& dropout, const Run& run) {
  check_attention(exec, input);
  note_attention(exec, input, 2);
  const ArenaScope scope(*exec.arena);
  const Call<bf16> call = attention_rows::make_call(exec, input, dropout);
  const HeadColumns<bf16> out{out_NC};
  const Forward pass{call, blocks_of(input.queries, log_sum_NH.extent(0)),
                     attention_rows::heads_of(out, input.shape), log_sum_NH.data(), is_wide(input)};
  start(exec, run, Kernel::kForward, pass, pass.blocks, input.shape.num_heads);
}

template <class Run>
void run_backward(const Exec& exec, const HeadColumns<bf16>& dquery, const HeadColumns<bf16>& dkey,
                  const HeadColumns<bf16>& dvalue, Tensor2<float> dpositions_UH,
                  Write positions_write, Tensor2<const bf16> dout_NC, Tensor2<const bf16> out_NC,
                  Tensor2<const float> log_sum_NH, const AttentionInput<bf16>& input,
                  const Dropout& dropout, const Run& run) {
  using attention_rows::heads_of;
  check_attention(exec, input, true);
  note_attention(exec, input, 5);
  const ArenaScope scope(*exec.arena);
  const auto delta_NH = exec.arena->take2<float>(log_sum_NH.extent(0), log_sum_NH.extent(1));
  const Call<bf16> call = attention_rows::make_call(exec, input, dropout);
  const Tensor2<float> dpositions_BUH = take_position_gradients(exec, dpositions_UH, input);
  attention_rows::make_deltas(exec, call, delta_NH, dout_NC, out_NC);
  const AttentionShape& shape = input.shape;
  const HeadColumns<const bf16> dout{dout_NC};
  const Backward pass{call,
                      blocks_of(input.queries, dquery.rows.extent(0)),
                      blocks_of(input.keys, dkey.rows.extent(0)),
                      heads_of(dout, shape),
                      log_sum_NH.data(),
                      delta_NH.data(),
                      heads_of(dquery, shape),
                      heads_of(dkey, shape),
                      heads_of(dvalue, shape),
                      is_wide(input) && is_wide(dout, shape.head_width)};
  start(exec, run, Kernel::kQueryGradient, pass, pass.query_blocks, shape.num_heads);
  start(exec, run, Kernel::kKeyGradient, pass, pass.key_blocks, shape.num_key_heads);
  if (dpositions_BUH.size() == 0) return;
  attention_rows::gather_position_gradients<bf16>(
      exec, dpositions_UH, positions_write, dpositions_BUH,
      {call, dout_NC.data(), log_sum_NH.data(), delta_NH.data()});
}

}  // namespace polyphase::attention_tiles
