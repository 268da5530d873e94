// SPDX-License-Identifier: Apache-2.0
#include "recipe/regularisation_schema.hpp"

namespace polyphase::recipe {

static void describe(Section& section, Average& average) {
  section.value("decay", average.decay, fraction_between());
}

void describe(Section& section, Regularisation& regularisation) {
  section.value("embedding_dropout", regularisation.embedding_dropout, fraction_below_one());
  section.value("head_dropout", regularisation.head_dropout, fraction_below_one());
  section.value("layer_drop", regularisation.layer_drop, fraction_below_one());
  section.value("l1", regularisation.l1, at_least(0));
  section.value("l2", regularisation.l2, at_least(0));
  section.value("r_drop", regularisation.r_drop, at_least(0));
  section.section("average", regularisation.average);
}

}  // namespace polyphase::recipe
