// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace polyphase {

// Of a large model, activations and gradients need not lie in memory at the same time: the backward
// pass is done with a layer's activations when it has made its gradients, and gradients are done
// with when the parameters are updated. Their addresses are planned once; the system's pages behind
// them come and go. Does nothing where tensors lie in a device's memory.

// Smaller pieces of memory are kept: what they would spare is not worth making pages anew each
// step.
constexpr std::size_t kPagesWorthGivingBack = std::size_t{192} << 20;

// Asks for large pages, so that making them anew costs little more than setting them to zero.
void use_large_pages(void* data, std::size_t num_bytes);

// The large pages that lie wholly in [data, data + num_bytes) go back to the system: what is read
// there before it is written again is zero.
void give_back_pages(void* data, std::size_t num_bytes);

// A debug build makes what is forgotten useless, so that tests see whoever reads it.
#ifdef NDEBUG
constexpr bool kSpoilsWhatIsForgotten = false;
#else
constexpr bool kSpoilsWhatIsForgotten = true;
#endif
void spoil(void* data, std::size_t num_bytes);

}  // namespace polyphase
