// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

namespace polyphase {

// Pearson's correlation of two lists of equal length, in [-1, 1] (scipy.stats.pearsonr). Not a
// number where a list is constant, holds such a number, or is shorter than 2.
double pearson_correlation(const std::vector<double>& x, const std::vector<double>& y);

// Spearman's: Pearson's of the ranks, equal values sharing the mean of theirs
// (scipy.stats.spearmanr). Not a number where Pearson's is.
double spearman_correlation(const std::vector<double>& x, const std::vector<double>& y);

// Ranks from 1, in the order of the values given; equal values share the mean of their ranks
// (scipy.stats.rankdata).
std::vector<double> average_ranks(const std::vector<double>& values);

}  // namespace polyphase
