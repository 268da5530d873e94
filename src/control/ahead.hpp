// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "control/decide.hpp"

namespace polyphase {

// The trials that will follow the journal's last round, which is not judged yet, on the same rung
// of the same search, `most` at most; none where it is no trial. They are what next_round() decides
// if nothing surprises: none of them diverges, reaches the target or changes what others are, and
// each costs what was expected.
std::vector<Round> trials_ahead(const recipe::Recipe& recipe, const Journal& journal,
                                const Facts& facts, std::int64_t most);

// Whether what was trained for one of the rounds is what the other trains: phases, in the same
// folders, of the same recipe. Their parents may differ.
bool trains_the_same(const recipe::Recipe& recipe, const Round& a, const Round& b);

}  // namespace polyphase
