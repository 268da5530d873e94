// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace polyphase::report {

// The style sheet of the report: light and dark by the reader's own preference, one column on
// narrow screens.
extern const char* const kStyleSheet;

}  // namespace polyphase::report
