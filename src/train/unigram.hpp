// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/communicator.hpp"
#include "corpus/dataset.hpp"

namespace polyphase {

// Entropy in nats of the data set's tokens by frequency: the loss of a model that guesses every
// token by how often it occurs, and the plateau on which masked language models begin. Read from at
// most about 4 million tokens, of documents that stand evenly in the corpus; the data-parallel
// ranks share the reading. Collective; the same bits on any number of ranks.
double unigram_entropy(Dataset& dataset, const Communicator& data);

}  // namespace polyphase
