// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace polyphase {

// Returns part / whole, and 0 where there is no whole, as scikit-learn and seqeval do.
inline double ratio_or_zero(double part, double whole) { return whole == 0 ? 0.0 : part / whole; }

}  // namespace polyphase
