// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "recipe/document.hpp"
#include "recipe/faults.hpp"
#include "recipe/iterate.hpp"

namespace polyphase::recipe {

// Applies "key.path=value" to the tree, in order. A value is YAML; an empty one takes the key out,
// so that its default holds. Phases go by their names. Setting stop.steps takes stop.epochs out,
// and the other way round. Faults are placed at "--set key.path".
void apply_overrides(Node& root, const std::vector<std::string>& overrides, Faults& faults);

// Likewise one change of a strategy; its faults are at `place`.
void apply_change(Node& root, const Change& change, const Place& place, Faults& faults);

// Gives the tree and all below one place.
void set_places(Node& root, const Place& place);

}  // namespace polyphase::recipe
