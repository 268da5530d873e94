// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace polyphase::text {

// Says what is wrong with a serialised SentencePiece model, "" when nothing is. The library checks
// the outline of a model but trusts the tables inside it: an altered character map makes it read
// outside its memory, an odd byte piece ends the process. So the tables are walked here first.
std::string fault_of_model(std::string_view model);

}  // namespace polyphase::text
