// SPDX-License-Identifier: Apache-2.0
#pragma once

// Unrolls the loop behind it in code for a device, where arrays that it indexes then lie in
// registers.
#ifdef __CUDA_ARCH__
#define POLYPHASE_UNROLL _Pragma("unroll")
#else
#define POLYPHASE_UNROLL
#endif
