// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace polyphase {

// Whether this machine has instructions for products of bf16 operands. Where it has none, operands
// are converted and multiplied in float: right, but slower than float from the start.
bool has_bf16_products();

}  // namespace polyphase
