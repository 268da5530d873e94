// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/attention.hpp"

// Attention in bf16 on the tensor cores of CUDA devices, with the contract of attention.hpp
// (attention_tiles.hpp says how).
namespace polyphase::attention_tiles {

// Whether the device has such products, and the heads are narrow enough.
bool can_run(const AttentionInput<bf16>& input);

void forward(const Exec& exec, Tensor2<bf16> out_NC, Tensor2<float> log_sum_NH,
             const AttentionInput<bf16>& input, const Dropout& dropout);

void backward(const Exec& exec, HeadColumns<bf16> dquery, HeadColumns<bf16> dkey,
              HeadColumns<bf16> dvalue, Tensor2<float> dpositions_UH, Write positions_write,
              Tensor2<const bf16> dout_NC, Tensor2<const bf16> out_NC,
              Tensor2<const float> log_sum_NH, const AttentionInput<bf16>& input,
              const Dropout& dropout);

}  // namespace polyphase::attention_tiles
